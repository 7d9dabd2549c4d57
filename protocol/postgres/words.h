// Fixed lists of words, in order: whether one is in them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string_view>

namespace weir::postgres {

// `words` is sorted: say so with a static_assert beside it.
template <size_t N>
bool In(const std::string_view (&words)[N], std::string_view word) {
  return std::binary_search(std::begin(words), std::end(words), word);
}

}  // namespace weir::postgres
