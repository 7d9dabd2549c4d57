// Reads a body field by field, in network byte order, and never beyond its end: after a failed read
// everything fails.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/base/bytes.h"

namespace weir::protocol {

class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : left_(bytes) {}

  bool ok() const { return ok_; }
  bool empty() const { return left_.empty(); }
  std::string_view rest() const { return left_; }

  uint8_t U8() { return static_cast<uint8_t>(Number(1)); }
  uint16_t U16() { return static_cast<uint16_t>(Number(2)); }
  uint32_t U32() { return Number(4); }
  // Up to a NUL, which is taken too.
  std::string_view CString() {
    const size_t end = ok_ ? left_.find('\0') : std::string_view::npos;
    if (end == std::string_view::npos) return Fail();
    const std::string_view text = left_.substr(0, end);
    left_.remove_prefix(end + 1);
    return text;
  }
  std::string_view Bytes(size_t count) {
    if (!ok_ || count > left_.size()) return Fail();
    const std::string_view bytes = left_.substr(0, count);
    left_.remove_prefix(count);
    return bytes;
  }

 private:
  uint32_t Number(size_t bytes) {
    uint32_t number = 0;
    for (const char byte : Bytes(bytes)) number = number << 8 | static_cast<uint8_t>(byte);
    return number;
  }
  std::string_view Fail() {
    ok_ = false;
    left_ = {};
    return {};
  }

  std::string_view left_;
  bool ok_ = true;
};

}  // namespace weir::protocol
