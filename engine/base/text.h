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
