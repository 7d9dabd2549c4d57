// The encrypted half of a stream: handshakes in turns, decrypting, sealing.
#include "engine/stream_tls.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "engine/base/fault.h"
#include "engine/stream.h"

namespace weir::engine {
namespace {

// With what TLS adds a record fits into a block of 16 KiB.
constexpr size_t kRecordBytes = size_t{16} * 1024 - 64;
constexpr uint32_t kPlaintextLeast = 512;
constexpr uint32_t kPlaintextMost = 64 * 1024;
// A handshake that has sent more than this need not wait for its turn: it may not hold the rest.
constexpr size_t kReceivedMax = size_t{64} * 1024;
// A peer that makes TLS answer (by changing keys) and takes nothing is cut off.
constexpr uint32_t kUnaskedMax = 64 * 1024;

}  // namespace

StreamContext::StreamContext(Io& shard_io, ChunkPool& shard_chunks, TimerWheel& shard_timers)
    : io(shard_io),
      chunks(shard_chunks),
      timers(shard_timers),
      handshakes_(std::make_unique<Handshakes>()) {}

StreamContext::~StreamContext() = default;

void StreamContext::ContinueHandshakes() {
  for (int i = 0; i < kHandshakeStepsPerTick && !handshakes_->waiting.empty(); ++i) {
    told_owners_ = true;
    handshakes_->waiting.PopFront()->stream.ContinueHandshake();
  }
}

const Tls* Stream::tls() const { return tls_ == nullptr ? nullptr : tls_->tls.get(); }

void Stream::StartTls(std::unique_ptr<Tls> tls, const Slice& received) {
  CHECK(life_ == Life::kOpen && tls_ == nullptr && !tls->ready());
  CopyRingSlices(in_flight_slices_);
  tls_ = std::make_unique<StreamTls>(*this, std::move(tls));
  tls_->sealed = queue_.size();
  tls_->received.Append(context_->chunks, received);
  // Also with nothing received: a client's side has the first word.
  context_->handshakes_->waiting.PushBack(*tls_);
}

// In place of what the queue holds in plaintext, or between that and what is sealed already.
void StreamTls::OnCiphertext(Bytes bytes) {
  std::span<Slice> queue(stream.queue_.data(), sealed);
  stream.queued_bytes_ += bytes.size();
  if (stream.above_high_water()) stream.was_high_ = true;
  if (sealed > stream.in_flight_slices_) {
    Slice& last = queue.back();
    Chunk& chunk = *last.chunk.get();
    const uint32_t used = last.offset + last.length;
    if (chunk.origin == ChunkOrigin::kPrivate && chunk.references == 1 &&
        chunk.size - used >= bytes.size()) {
      std::memcpy(chunk.data + used, bytes.data(), bytes.size());
      last.length += static_cast<uint32_t>(bytes.size());
      return;
    }
  }
  const size_t place = WEIR_FAULT("words_of_tls_out_of_order") ? stream.queue_.size() : sealed;
  stream.queue_.insert(stream.queue_.begin() + static_cast<ptrdiff_t>(place),
                       stream.context_->chunks.Copy(bytes));
  ++sealed;
}

void Stream::DeliverCiphertext(const Slice& bytes) {
  StreamTls& tls = *tls_;
  if (tls.over) return;
  if (tls.tls->ready()) {
    Decrypt(bytes.bytes());
    return;
  }
  tls.received.Append(context_->chunks, bytes);
  const bool lost = WEIR_FAULT("handshake_turn_lost") && !context_->handshakes_->waiting.empty();
  if (!tls.turn.linked() && !lost) context_->handshakes_->waiting.PushBack(tls);
  if (tls.received.size() <= kReceivedMax) return;
  context_->handshakes_->waiting.Remove(tls);
  ContinueHandshake();
}

// It is this stream's turn.
void Stream::ContinueHandshake() {
  StreamTls& tls = *tls_;
  do {
    Slice piece;
    if (!tls.received.empty()) {
      piece = tls.received.Front();
      tls.received.Consume(piece.length);
    }
    Decrypt(piece.bytes());
  } while (life_ == Life::kOpen && !tls.received.empty());
  for (; !tls.received.empty() && life_ == Life::kDetaching;) {
    const Slice piece = tls.received.Front();
    tls.received.Consume(piece.length);
    KeepUnread(piece.bytes());
  }
  tls.received.Clear();
}

// Passes what was received on to the owner, for as long as that wants it.
void Stream::Decrypt(Bytes ciphertext) {
  const size_t before = tls_->sealed;
  const size_t queued = queued_bytes_;
  while (life_ == Life::kOpen && !tls_->over && DecryptSome(ciphertext)) {
  }
  if (life_ == Life::kDetaching) KeepUnread(ciphertext);
  if (life_ != Life::kOpen || (tls_->sealed == before && queued_bytes_ == queued)) return;
  MarkDirty();
}

// One step of the handshake, or one piece of plaintext; false: there is no more to be had.
bool Stream::DecryptSome(Bytes& ciphertext) {
  StreamTls& tls = *tls_;
  size_t length = 0;
  if (!tls.tls->ready()) {
    switch (tls.tls->Read(ciphertext, {}, length, tls)) {
      case Tls::Status::kReady:
        // What was queued while it went on can leave now.
        MarkDirty();
        events_->OnEncrypted();
        return true;
      case Tls::Status::kFailed:
      case Tls::Status::kClosed:
        FailTls();
        return false;
      case Tls::Status::kMore:
      case Tls::Status::kData:
        return false;
    }
  }
  const uint32_t room =
      std::clamp(static_cast<uint32_t>(std::min<size_t>(ciphertext.size(), kPlaintextMost)),
                 kPlaintextLeast, kPlaintextMost);
  Slice plain{context_->chunks.Allocate(room), 0, 0};
  const size_t queued_before = queued_bytes_;
  Tls::Status status = Tls::Status::kData;
  while (plain.length < room && status == Tls::Status::kData) {
    status = tls.tls->Read(ciphertext,
                           MutableBytes(plain.chunk->data + plain.length, room - plain.length),
                           length, tls);
    plain.length += static_cast<uint32_t>(length);
  }
  tls.unasked_bytes += static_cast<uint32_t>(queued_bytes_ - queued_before);
  if (tls.unasked_bytes > kUnaskedMax && above_high_water()) {
    End(StreamEnd::kReset);
    return false;
  }
  if (plain.length > 0) events_->OnBytes(std::move(plain));
  if (life_ != Life::kOpen) return false;
  switch (status) {
    case Tls::Status::kData:
    case Tls::Status::kReady:
      return !WEIR_FAULT("decrypted_in_part");
    case Tls::Status::kMore:
      return false;
    case Tls::Status::kClosed:
      tls.over = true;
      End(StreamEnd::kOrderly);
      return false;
    case Tls::Status::kFailed:
      FailTls();
      return false;
  }
  UNREACHABLE();
}

// The peer is told why, if TLS has a word for it; nothing else can be sent any more.
void Stream::FailTls() {
  tls_->over = true;
  DropUnsealed();
  MarkDirty();
  if (!close_when_sent_) events_->OnEnd(StreamEnd::kTlsFailed);
}

void Stream::DropUnsealed() {
  for (size_t i = tls_->sealed; i < queue_.size(); ++i) queued_bytes_ -= queue_[i].length;
  queue_.resize(tls_->sealed);
}

// Before a send: what is queued becomes records. What cannot become any now must not hold receive
// buffers.
void Stream::Seal() {
  StreamTls& tls = *tls_;
  const bool failed = tls.over && !tls.tls->ready();
  if (failed || (close_when_sent_ && !tls.tls->ready())) DropUnsealed();
  if (!tls.tls->ready()) {
    CopyRingSlices(tls.sealed);
    return;
  }
  if (tls.sealed < queue_.size()) {
    absl::InlinedVector<Slice, 3> plaintext;
    for (size_t i = tls.sealed; i < queue_.size(); ++i) {
      queued_bytes_ -= queue_[i].length;
      plaintext.push_back(std::move(queue_[i]));
    }
    queue_.resize(tls.sealed);
    SealSlices(plaintext);
  }
  if (close_when_sent_ && tls.tls->ready() && !std::exchange(tls.said_goodbye, true))
    tls.tls->Close(tls);
  if (!tls.tls->ready()) {
    context_->told_owners_ = true;
    FailTls();
  }
}

// Large slices are sealed where they lie, small ones are put together first.
void Stream::SealSlices(std::span<const Slice> plaintext) {
  StreamTls& tls = *tls_;
  std::vector<uint8_t>& record = context_->handshakes_->record;
  record.resize(kRecordBytes);
  size_t filled = 0;
  const auto seal = [&tls](Bytes bytes) {
    if (tls.tls->ready()) tls.tls->Write(bytes, tls);
  };
  for (size_t i = 0; i < plaintext.size(); ++i) {
    Bytes rest = plaintext[i].bytes();
    while (!rest.empty()) {
      const size_t part = std::min(rest.size(), kRecordBytes - filled);
      if (filled == 0 && (part == kRecordBytes || i + 1 == plaintext.size())) {
        seal(rest.first(part));
      } else {
        std::memcpy(record.data() + filled, rest.data(), part);
        filled += part;
        if (filled == kRecordBytes) seal(Bytes(record.data(), std::exchange(filled, 0)));
      }
      rest = rest.subspan(part);
    }
  }
  if (filled > 0) seal(Bytes(record.data(), filled));
}

}  // namespace weir::engine
