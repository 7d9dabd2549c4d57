// Putting texts together: Cat("client=", number, " user=", user). And maps by text that are
// searched with a view.
#pragma once

#include <concepts>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace weir::engine {

namespace text_internal {

inline void AppendOne(std::string& out, std::string_view text) { out.append(text); }
inline void AppendOne(std::string& out, char character) { out.push_back(character); }
template <std::integral T>
requires(!std::same_as<T, char> && !std::same_as<T, bool>) void AppendOne(std::string& out,
                                                                          T number) {
  out.append(std::to_string(number));
}

}  // namespace text_internal

template <class... Parts>
void Append(std::string& out, const Parts&... parts) {
  (text_internal::AppendOne(out, parts), ...);
}

template <class... Parts>
std::string Cat(const Parts&... parts) {
  std::string out;
  Append(out, parts...);
  return out;
}

// Control characters as \n or \x1b: a peer's text can neither begin a line of its own nor steer a
// terminal.
inline std::string Visible(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const char each : text) {
    const auto byte = static_cast<unsigned char>(each);
    if (byte >= 0x20 && byte != 0x7f) {
      out.push_back(each);
    } else if (each == '\n') {
      out.append("\\n");
    } else {
      Append(out, "\\x", kDigits[byte >> 4], kDigits[byte & 15]);
    }
  }
  return out;
}

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

// Found by std::string_view. Never iterated over where the order could matter.
template <class Value>
using TextMap = std::unordered_map<std::string, Value, TextHash, std::equal_to<>>;
// The same with keys that live elsewhere.
template <class Value>
using TextViewMap = std::unordered_map<std::string_view, Value>;

}  // namespace weir::engine
