#include "tests/sim/sim_tls.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/base/check.h"

namespace weir::sim {
namespace {

constexpr size_t kHead = 3;
constexpr size_t kTail = 2;
constexpr size_t kRecordMax = 16384;
// So many records, and the keys are changed: that is answered.
constexpr uint32_t kChangeEvery = 64;
constexpr std::string_view kChangeKeys = "change keys";
constexpr std::string_view kKeysChanged = "keys changed";

uint16_t SumOf(std::string_view bytes, uint32_t number) {
  uint32_t sum = number * 7919 + 1;
  for (const char c : bytes) sum = sum * 31 + static_cast<uint8_t>(c);
  return static_cast<uint16_t>(sum ^ sum >> 16);
}

// Its own inverse.
void Veil(std::string& bytes, uint32_t number) {
  uint8_t key = static_cast<uint8_t>(0xa5 + number);
  for (char& c : bytes) {
    c = static_cast<char>(c ^ key);
    key = static_cast<uint8_t>(key * 5 + 17);
  }
}

}  // namespace

void SimTls::Send(Kind kind, std::string_view body, engine::TlsOutput& out) {
  std::string record(1, static_cast<char>(kind));
  record.push_back(static_cast<char>(body.size() >> 8));
  record.push_back(static_cast<char>(body.size()));
  std::string veiled(body);
  if (kind != kHandshake || state_ == State::kReady) Veil(veiled, sent_);
  record += veiled;
  const uint16_t sum = SumOf(record, sent_++);
  record.push_back(static_cast<char>(sum >> 8));
  record.push_back(static_cast<char>(sum));
  out.OnCiphertext(engine::AsBytes(record));
}

engine::Tls::Status SimTls::Fail(std::string_view error) {
  error_ = error;
  state_ = State::kFailed;
  return Status::kFailed;
}

// A whole one into kind_ and body_; false: there is none yet, or it is none (kFailed).
bool SimTls::TakeRecord(engine::Bytes& in) {
  const auto take = [&](size_t wanted) {
    const size_t part = std::min(wanted - std::min(wanted, partial_.size()), in.size());
    partial_ += engine::AsText(in.first(part));
    in = in.subspan(part);
    return partial_.size() >= wanted;
  };
  if (!take(kHead)) return false;
  const size_t length = static_cast<size_t>(static_cast<uint8_t>(partial_[1])) << 8 |
                        static_cast<uint8_t>(partial_[2]);
  const uint8_t kind = static_cast<uint8_t>(partial_[0]);
  if (length > kRecordMax || kind < kAlert || kind > kData) {
    Fail("no record");
    return false;
  }
  if (!take(kHead + length + kTail)) return false;
  const std::string_view sum = std::string_view(partial_).substr(kHead + length);
  const uint16_t expected = SumOf(std::string_view(partial_).substr(0, kHead + length), taken_);
  if (static_cast<uint8_t>(sum[0]) != expected >> 8 ||
      static_cast<uint8_t>(sum[1]) != (expected & 0xff)) {
    Fail("a record that was changed, or is out of its turn");
    return false;
  }
  kind_ = static_cast<Kind>(kind);
  body_ = partial_.substr(kHead, length);
  if (kind_ != kHandshake || state_ == State::kReady) Veil(body_, taken_);
  ++taken_;
  partial_.clear();
  return true;
}

engine::Tls::Status SimTls::OnHandshake(engine::TlsOutput& out) {
  const std::string body = std::exchange(body_, {});
  if (side_ == Side::kServer && state_ == State::kBeginning && body == "hello, server") {
    state_ = State::kHello;
    Send(kHandshake, "hello, client", out);
    return Status::kMore;
  }
  if (side_ == Side::kServer && state_ == State::kHello && body == "finished") {
    state_ = State::kReady;
    return Status::kReady;
  }
  if (side_ == Side::kClient && state_ == State::kHello && body == "hello, client") {
    Send(kHandshake, "finished", out);
    state_ = State::kReady;
    return Status::kReady;
  }
  return Fail("a word out of its turn in the handshake");
}

engine::Tls::Status SimTls::Read(engine::Bytes& in, engine::MutableBytes into, size_t& length,
                                 engine::TlsOutput& out) {
  length = 0;
  if (side_ == Side::kClient && state_ == State::kBeginning) {
    Send(kHandshake, "hello, server", out);
    state_ = State::kHello;
  }
  for (;;) {
    if (state_ == State::kFailed) return Status::kFailed;
    if (peer_closed_) return Status::kClosed;
    if (body_.empty() && !TakeRecord(in)) {
      if (state_ != State::kFailed) return Status::kMore;
      continue;
    }
    if (state_ != State::kReady) {
      if (kind_ != kHandshake) return Fail("data within the handshake");
      const Status status = OnHandshake(out);
      if (status != Status::kMore) return status;
      continue;
    }
    switch (kind_) {
      case kAlert:
        // What we have to say can still be said.
        peer_closed_ = true;
        return Status::kClosed;
      case kHandshake:
        if (std::exchange(body_, {}) == kChangeKeys) Send(kHandshake, kKeysChanged, out);
        continue;
      case kData:
        break;
    }
    if (into.empty()) return Status::kData;
    length = std::min(into.size(), body_.size());
    std::memcpy(into.data(), body_.data(), length);
    body_.erase(0, length);
    return Status::kData;
  }
}

void SimTls::Write(engine::Bytes plaintext, engine::TlsOutput& out) {
  CHECK(state_ == State::kReady && !plaintext.empty());
  while (!plaintext.empty()) {
    if (sent_ % kChangeEvery == kChangeEvery - 1) Send(kHandshake, kChangeKeys, out);
    const size_t part = std::min(plaintext.size(), kRecordMax);
    Send(kData, engine::AsText(plaintext.first(part)), out);
    plaintext = plaintext.subspan(part);
  }
}

void SimTls::Close(engine::TlsOutput& out) {
  CHECK(state_ == State::kReady);
  Send(kAlert, "no more", out);
}

void SimTlsPipe::OnCiphertext(engine::Bytes bytes) { wire_->append(engine::AsText(bytes)); }

std::string SimTlsPipe::Open(std::string_view received, std::string& wire) {
  using Status = engine::Tls::Status;
  wire_ = &wire;
  engine::Bytes in = engine::AsBytes(received);
  std::string plain;
  uint8_t into[1000];
  for (;;) {
    size_t length = 0;
    const Status status = tls_.Read(
        in, tls_.ready() ? engine::MutableBytes(into) : engine::MutableBytes(), length, *this);
    plain.append(reinterpret_cast<const char*>(into), length);
    if (status == Status::kReady || status == Status::kData) continue;
    closed_ = closed_ || status == Status::kClosed;
    return plain;
  }
}

void SimTlsPipe::Seal(std::string_view plaintext, std::string& wire) {
  wire_ = &wire;
  if (!plaintext.empty()) tls_.Write(engine::AsBytes(plaintext), *this);
}

void SimTlsPipe::Close(std::string& wire) {
  wire_ = &wire;
  tls_.Close(*this);
}

}  // namespace weir::sim
