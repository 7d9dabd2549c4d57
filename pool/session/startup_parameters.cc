#include "pool/session/startup_parameters.h"

#include <algorithm>

namespace weir::pool {

// Sorted by name; of two values for one name the later counts, as with the server. Names and values
// hold no NUL.
std::string ToCanonical(const protocol::Parameters& parameters) {
  protocol::Parameters sorted = parameters;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string text;
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (i + 1 < sorted.size() && sorted[i + 1].first == sorted[i].first) continue;
    text.append(sorted[i].first).push_back('\0');
    text.append(sorted[i].second).push_back('\0');
  }
  return text;
}

protocol::Parameters FromCanonical(std::string_view text) {
  protocol::Parameters parameters;
  while (!text.empty()) {
    std::string_view parts[2];
    for (std::string_view& part : parts) {
      part = text.substr(0, text.find('\0'));
      text.remove_prefix(std::min(text.size(), part.size() + 1));
    }
    parameters.emplace_back(parts[0], parts[1]);
  }
  return parameters;
}

}  // namespace weir::pool
