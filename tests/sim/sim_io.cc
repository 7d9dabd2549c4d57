#include "tests/sim/sim_io.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "engine/base/check.h"
#include "engine/buffer_ring.h"

namespace weir::sim {

using engine::BufferGroup;
using engine::Completion;
using engine::Operation;
using engine::Slice;

namespace {

constexpr size_t kBatchMax = 256;
constexpr uint8_t kPoison = 0xDD;

}  // namespace

int Descriptors::Take() {
  size_t place = 0;
  while (place < used_.size() && used_[place]) ++place;
  if (place == used_.size()) {
    used_.push_back(false);
    ends_.push_back(nullptr);
    listeners_.emplace_back();
  }
  used_[place] = true;
  ++open_;
  return kFirst + static_cast<int>(place);
}

int Descriptors::Open(End* end) {
  const int fd = Take();
  ends_[static_cast<size_t>(fd - kFirst)] = end;
  return fd;
}

int Descriptors::OpenListener() {
  const int fd = Take();
  listeners_[static_cast<size_t>(fd - kFirst)] = std::make_unique<Listener>();
  return fd;
}

End& Descriptors::end(int fd) {
  const size_t place = static_cast<size_t>(fd - kFirst);
  CHECK(fd >= kFirst && place < used_.size() && used_[place] && ends_[place] != nullptr);
  return *ends_[place];
}

End* Descriptors::end_or_null(int fd) {
  const size_t place = static_cast<size_t>(fd - kFirst);
  CHECK(fd >= kFirst && place < used_.size() && used_[place]);
  return ends_[place];
}

void Descriptors::SetEnd(int fd, End* end) {
  CHECK(end_or_null(fd) == nullptr);
  ends_[static_cast<size_t>(fd - kFirst)] = end;
}

Descriptors::Listener& Descriptors::listener(int fd) {
  const size_t place = static_cast<size_t>(fd - kFirst);
  CHECK(fd >= kFirst && place < used_.size() && used_[place] && listeners_[place] != nullptr);
  return *listeners_[place];
}

void Descriptors::Close(int fd) {
  const size_t place = static_cast<size_t>(fd - kFirst);
  CHECK(fd >= kFirst && place < used_.size() && used_[place]);
  used_[place] = false;
  ends_[place] = nullptr;
  listeners_[place].reset();
  --open_;
}

void SimIo::Buffers::SetUp(uint32_t count) {
  count_ = count;
  chunks_ = std::make_unique<engine::Chunk[]>(count);
  for (uint32_t i = 0; i < count; ++i) {
    memory_.push_back(std::make_unique<uint8_t[]>(engine::BufferRing::kBufferBytes));
    chunks_[i].data = memory_.back().get();
    chunks_[i].size = engine::BufferRing::kBufferBytes;
    chunks_[i].origin = engine::ChunkOrigin::kRing;
    chunks_[i].owner = this;
    free_.push_back(&chunks_[i]);
  }
}

SimIo::Buffers::~Buffers() { CHECK(free_.size() == count_); }

Slice SimIo::Buffers::Take(std::string_view bytes) {
  engine::Chunk* chunk = free_.back();
  free_.pop_back();
  CHECK(chunk->references == 0 && bytes.size() <= chunk->size);
  std::memcpy(chunk->data, bytes.data(), bytes.size());
  return {engine::ChunkRef(chunk), 0, static_cast<uint32_t>(bytes.size())};
}

void SimIo::Buffers::Release(engine::Chunk& chunk) {
  std::memset(chunk.data, kPoison, chunk.size);
  free_.push_back(&chunk);
}

SimIo::SimIo(Host& host, Net& net, Descriptors& descriptors, const SimIoOptions& options)
    : host_(host), net_(net), descriptors_(descriptors), options_(options), now_(net.now()) {
  for (Buffers& buffers : buffers_) buffers.SetUp(options.buffers);
}

SimIo::~SimIo() { CHECK(pending_.empty()); }

SimIo::Pending& SimIo::Begin(Operation& operation, Kind kind, int fd) {
  operation.Begin(kind);
  stirred_ = true;
  Pending& pending = pending_.emplace_back();
  pending.operation = &operation;
  pending.kind = kind;
  pending.fd = fd;
  return pending;
}

absl::StatusOr<int> SimIo::Listen(const engine::Address&, int) {
  return descriptors_.OpenListener();
}

int SimIo::OpenSocket(const engine::Address&) { return descriptors_.Open(nullptr); }

void SimIo::Accept(int listener, Operation& operation) { Begin(operation, kAccept, listener); }

void SimIo::Connect(int fd, const engine::Address& address, Operation& operation) {
  Begin(operation, kConnect, fd);
  descriptors_.SetEnd(fd, &net_.Connect(address.ToString(), *this));
}

void SimIo::StartReceive(int fd, BufferGroup group, Operation& operation) {
  Begin(operation, kReceive, fd).group = group;
  net_.SetParty(descriptors_.end(fd), this);
}

void SimIo::ReceiveInto(int fd, engine::MutableBytes into, Operation& operation) {
  Begin(operation, kReceiveInto, fd).into = into;
  net_.SetParty(descriptors_.end(fd), this);
}

void SimIo::Send(int fd, std::span<const Slice> slices, Operation& operation) {
  CHECK(!slices.empty() && slices.size() <= kSlicesMax);
  Pending& pending = Begin(operation, kSend, fd);
  for (const Slice& slice : slices) pending.parts.push_back(slice.bytes());
}

void SimIo::PollHangup(int fd, Operation& operation) { Begin(operation, kPoll, fd); }

void SimIo::Cancel(Operation& operation) {
  if (!operation.in_flight() || operation.cancelling()) return;
  operation.set_cancelling();
  for (Pending& pending : pending_) {
    if (pending.operation == &operation) pending.cancelled = true;
  }
  stirred_ = true;
}

std::string SimIo::Situation() const {
  static constexpr const char* kNames[] = {"accept", "connect", "receive", "bulk", "send", "poll"};
  std::string out;
  for (const Pending& pending : pending_) {
    out += std::string(kNames[pending.kind]) + " " + std::to_string(pending.fd) +
           (pending.cancelled ? " cancelled, " : ", ");
  }
  return out + "buffers " + std::to_string(buffers_[0].free()) + " " +
         std::to_string(buffers_[1].free());
}

void SimIo::Shutdown(int fd) { net_.Shutdown(descriptors_.end(fd)); }

void SimIo::Close(int fd) {
  for (const Pending& pending : pending_) CHECK(pending.fd != fd);
  if (End* end = descriptors_.end_or_null(fd); end != nullptr) net_.Close(*end);
  descriptors_.Close(fd);
}

void SimIo::Wake(uint32_t shard) { host_.io(shard).woken_ = true; }

uint32_t SimIo::buffers_free(BufferGroup group) const {
  return buffers_[static_cast<int>(group)].free();
}

void SimIo::Tick(Nanos deadline, bool may_sleep) {
  host_.Yield(*this);
  for (;;) {
    batch_.clear();
    stirred_ = false;
    Gather();
    if (!batch_.empty() || !may_sleep || woken_ || net_.now() >= deadline) break;
    if (stirred_) {
      host_.Yield(*this);
    } else {
      host_.Sleep(*this, deadline);
    }
  }
  woken_ = false;
  now_ = net_.now();
  for (auto& [operation, completion] : batch_) {
    net_.Mix(static_cast<uint64_t>(completion.result) << 1 | completion.more);
    operation->Complete(completion);
    completion = {};
  }
}

// Takes what is ready from a random place on, in a bounded batch.
void SimIo::Gather() {
  const size_t count = pending_.size();
  if (count == 0) return;
  const size_t first = net_.prng().Below(count);
  std::vector<bool> done(count, false);
  for (size_t i = 0; i < count && batch_.size() < kBatchMax; ++i) {
    const size_t place = (first + i) % count;
    if (net_.Chance(options_.postpone)) {
      stirred_ = true;
      continue;
    }
    Fate fate = Try(pending_[place]);
    while (fate == Fate::kGoesOn && net_.Chance(0.7)) fate = Try(pending_[place]);
    if (fate == Fate::kGoesOn) stirred_ = true;
    done[place] = fate == Fate::kDone;
  }
  size_t to = 0;
  for (size_t i = 0; i < count; ++i) {
    if (done[i]) continue;
    if (to != i) pending_[to] = std::move(pending_[i]);
    ++to;
  }
  pending_.erase(pending_.begin() + static_cast<ptrdiff_t>(to), pending_.end());
}

SimIo::Fate SimIo::Done(Pending& pending, int32_t result) {
  batch_.push_back({pending.operation, Completion{result, false, {}}});
  return Fate::kDone;
}

SimIo::Fate SimIo::Try(Pending& pending) {
  // What is ready may win over a cancel.
  if (pending.cancelled && (pending.kind == kAccept || net_.Chance(0.6))) {
    return Done(pending, -ECANCELED);
  }
  if (pending.kind == kAccept) return TryAccept(pending);
  End& end = descriptors_.end(pending.fd);
  Fate fate = Fate::kWaits;
  switch (pending.kind) {
    case kAccept:
      break;
    case kConnect:
      if (end.connected) fate = Done(pending, 0);
      if (end.refused != 0) fate = Done(pending, -end.refused);
      break;
    case kReceive:
      fate = TryReceive(pending, end);
      break;
    case kReceiveInto:
      fate = TryReceiveInto(pending, end);
      break;
    case kSend:
      fate = TrySend(pending, end);
      break;
    case kPoll:
      if (end.reset || (end.fin && end.shut)) fate = Done(pending, POLLHUP);
      break;
  }
  if (fate == Fate::kWaits && pending.cancelled) return Done(pending, -ECANCELED);
  return fate;
}

SimIo::Fate SimIo::TryAccept(Pending& pending) {
  Descriptors::Listener& listener = descriptors_.listener(pending.fd);
  if (listener.backlog.empty()) return Fate::kWaits;
  if (net_.Chance(options_.accept_error)) return Done(pending, -EMFILE);
  End* end = listener.backlog.front();
  listener.backlog.erase(listener.backlog.begin());
  return Done(pending, descriptors_.Open(end));
}

SimIo::Fate SimIo::TryReceive(Pending& pending, End& end) {
  if (end.inbox.empty()) {
    if (end.reset) return Done(pending, -ECONNRESET);
    if (!end.fin) return Fate::kWaits;
    if (buffers_[static_cast<int>(pending.group)].free() == 0) return Done(pending, -ENOBUFS);
    return Done(pending, 0);
  }
  if (end.reset && net_.Chance(0.5)) return Done(pending, -ECONNRESET);
  Buffers& buffers = buffers_[static_cast<int>(pending.group)];
  if (buffers.free() == 0) return Done(pending, -ENOBUFS);
  const std::string bytes = net_.Read(end, engine::BufferRing::kBufferBytes);
  const bool more = !pending.cancelled && !net_.Chance(options_.one_shot);
  batch_.push_back({pending.operation,
                    Completion{static_cast<int32_t>(bytes.size()), more, buffers.Take(bytes)}});
  return more ? Fate::kGoesOn : Fate::kDone;
}

SimIo::Fate SimIo::TryReceiveInto(Pending& pending, End& end) {
  if (end.inbox.empty()) {
    if (end.reset) return Done(pending, -ECONNRESET);
    return end.fin ? Done(pending, 0) : Fate::kWaits;
  }
  const std::string bytes = net_.Read(end, pending.into.size());
  std::memcpy(pending.into.data(), bytes.data(), bytes.size());
  return Done(pending, static_cast<int32_t>(bytes.size()));
}

SimIo::Fate SimIo::TrySend(Pending& pending, End& end) {
  if (end.reset) return Done(pending, net_.Chance(0.5) ? -EPIPE : -ECONNRESET);
  if (net_.Room(end) == 0) return Fate::kWaits;
  std::string bytes;
  for (const engine::Bytes part : pending.parts) bytes += engine::AsText(part);
  return Done(pending, static_cast<int32_t>(net_.Write(end, bytes)));
}

}  // namespace weir::sim
