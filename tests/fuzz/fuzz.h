// What the fuzz targets share. A target is one function over bytes that somebody else has chosen;
// it may do anything with them but break a CHECK, of its own or of the code under test.
//
//   FUZZ_TARGET(client_login) { ... input ... }
//
// Built with clang and -DWEIR_FUZZER each target is a libFuzzer program of its own; built otherwise
// all of them are in one program that replays the corpora.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/prng.h"

namespace weir::fuzz {

using Target = void (*)(engine::Bytes input);

#ifdef WEIR_FUZZER
#define FUZZ_TARGET(name)                                                   \
  static void Run(engine::Bytes input);                                     \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);  \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { \
    Run({data, size});                                                      \
    return 0;                                                               \
  }                                                                         \
  static void Run(engine::Bytes input)
#else
// For the replay program.
struct Registered {
  Registered(const char* name, Target target);
};
#define FUZZ_TARGET(name)                                       \
  static void Run(engine::Bytes input);                         \
  static const ::weir::fuzz::Registered registered(#name, Run); \
  static void Run(engine::Bytes input)
#endif

// Choices at the front of an input: one byte each, 0 when there are none left.
class Choices {
 public:
  explicit Choices(engine::Bytes bytes) : left_(bytes) {}
  bool empty() const { return left_.empty(); }
  uint8_t Byte() {
    if (left_.empty()) return 0;
    const uint8_t byte = left_[0];
    left_ = left_.subspan(1);
    return byte;
  }
  size_t Below(size_t bound) { return Byte() % bound; }
  std::string_view Text(size_t length) {
    const engine::Bytes bytes = left_.first(std::min(length, left_.size()));
    left_ = left_.subspan(bytes.size());
    return engine::AsText(bytes);
  }
  std::string_view Rest() { return Text(left_.size()); }

 private:
  engine::Bytes left_;
};

// Where bytes are cut on their way. The seed's two lowest bits choose the size of the pieces:
// single bytes, a few, some, many.
class Pieces {
 public:
  explicit Pieces(uint8_t seed) : greatest_(kGreatest[seed & 3]), prng_(seed) {}
  size_t Next(size_t left) { return std::min(left, 1 + prng_.Below(greatest_)); }

 private:
  static constexpr uint64_t kGreatest[] = {1, 4, 40, 2000};
  uint64_t greatest_;
  engine::Prng prng_;
};

// Nonces that are the same in every run.
class ZeroEntropy final : public engine::Entropy {
 public:
  void Fill(engine::MutableBytes out) override {
    for (uint8_t& byte : out) byte = 0;
  }
};

// Follows a stream of messages {type, length, body}: every header must be a possible one.
class Framing {
 public:
  void Add(std::string_view bytes) {
    while (!bytes.empty()) {
      const size_t wanted = header_.size() < 5 ? 5 - header_.size() : body_left_;
      const std::string_view part = bytes.substr(0, wanted);
      bytes.remove_prefix(part.size());
      if (header_.size() < 5) {
        header_ += part;
        if (header_.size() < 5) return;
        body_left_ = 0;
        for (size_t i = 1; i < 5; ++i)
          body_left_ = body_left_ << 8 | static_cast<uint8_t>(header_[i]);
        CHECK(body_left_ >= 4 && body_left_ <= 0x3fffffff);
        body_left_ -= 4;
        types_.push_back(header_[0]);
      } else {
        body_left_ -= part.size();
      }
      if (body_left_ == 0) header_.clear();
    }
  }
  bool at_boundary() const { return header_.empty(); }
  const std::string& types() const { return types_; }

 private:
  std::string header_;
  size_t body_left_ = 0;
  std::string types_;  // of all messages so far
};

struct Message {
  char type = 0;
  std::string body;
};

// Takes whole messages from a stream.
class MessageReader {
 public:
  void Add(std::string_view bytes) { held_ += bytes; }
  bool Next(Message& message) {
    if (held_.size() < 5) return false;
    size_t length = 0;
    for (size_t i = 1; i < 5; ++i) length = length << 8 | static_cast<uint8_t>(held_[i]);
    CHECK(length >= 4);
    if (held_.size() < 1 + length) return false;
    message = {held_[0], held_.substr(5, length - 4)};
    held_.erase(0, 1 + length);
    return true;
  }
  bool empty() const { return held_.empty(); }

 private:
  std::string held_;
};

inline std::vector<Message> AllMessages(std::string_view bytes) {
  MessageReader reader;
  reader.Add(bytes);
  std::vector<Message> all;
  for (Message each; reader.Next(each);) all.push_back(each);
  CHECK(reader.empty());
  return all;
}

inline std::string Put32(uint32_t value) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
  return out;
}

inline std::string Encode(char type, std::string_view body) {
  return std::string(1, type) + Put32(static_cast<uint32_t>(body.size()) + 4) + std::string(body);
}

inline std::string Z(std::string_view text) { return std::string(text) + '\0'; }

// An ErrorResponse as weir makes it: fields that end, severity and a SQLSTATE of five characters.
void CheckError(const Message& message, std::string_view severity);

}  // namespace weir::fuzz
