#include "protocol/postgres/own_messages.h"

#include <cstdint>
#include <initializer_list>

#include "protocol/postgres/format.h"

namespace weir::postgres {
namespace {

constexpr std::string_view kName = "__weir_own";

void Append(std::string& out, uint8_t type, std::initializer_list<std::string_view> parts) {
  uint32_t length = 4;
  for (const std::string_view part : parts) length += static_cast<uint32_t>(part.size());
  out.push_back(static_cast<char>(type));
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(length >> shift));
  for (const std::string_view part : parts) out.append(part);
}

}  // namespace

std::string OwnStatementMessages(std::string_view sql, bool sync) {
  static constexpr std::string_view kNul("\0", 1);
  static constexpr std::string_view kZeros("\0\0\0\0\0\0", 6);
  std::string out;
  Append(out, frontend::kParse, {kName, kNul, sql, kNul, kZeros.substr(0, 2)});
  // Formats of parameters, parameters, formats of results: none.
  Append(out, frontend::kBind, {kName, kNul, kName, kNul, kZeros});
  Append(out, frontend::kExecute, {kName, kNul, kZeros.substr(0, 4)});
  Append(out, frontend::kClose, {"S", kName, kNul});
  if (sync) Append(out, frontend::kSync, {});
  return out;
}

}  // namespace weir::postgres
