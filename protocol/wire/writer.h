// Appends messages of the shape {type, int32 length, body} to a text, in network byte order.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weir::protocol {

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  // type 0: a message without a type byte (the first of a connection).
  Writer& Begin(uint8_t type) {
    if (type != 0) U8(type);
    start_ = out_.size();
    return U32(0);
  }
  void End() {
    const uint32_t length = static_cast<uint32_t>(out_.size() - start_);
    for (size_t i = 0; i < 4; ++i) out_[start_ + i] = static_cast<char>(length >> (24 - 8 * i));
  }
  Writer& U8(uint8_t value) {
    out_.push_back(static_cast<char>(value));
    return *this;
  }
  Writer& U32(uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) out_.push_back(static_cast<char>(value >> shift));
    return *this;
  }
  Writer& CString(std::string_view text) {
    out_.append(text).push_back('\0');
    return *this;
  }
  Writer& Raw(std::string_view bytes) {
    out_.append(bytes);
    return *this;
  }

 private:
  std::string& out_;
  size_t start_ = 0;
};

}  // namespace weir::protocol
