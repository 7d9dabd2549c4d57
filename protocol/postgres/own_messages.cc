#include "protocol/postgres/own_messages.h"

#include <cstdint>
#include <initializer_list>

#include "engine/base/text.h"
#include "protocol/postgres/format.h"

namespace weir::postgres {
namespace {

// The part of a Bind behind its names: formats of parameters, parameters, formats of results; all
// formats are text.
std::string Values(OwnParameters parameters) {
  const auto put = [](std::string& out, uint32_t value, int bytes) {
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
      out.push_back(static_cast<char>(value >> shift));
  };
  std::string out(2, '\0');
  put(out, static_cast<uint32_t>(parameters.size()), 2);
  for (const std::optional<std::string_view>& each : parameters) {
    put(out, each.has_value() ? static_cast<uint32_t>(each->size()) : UINT32_MAX, 4);
    if (each.has_value()) out.append(*each);
  }
  return out.append(2, '\0');
}

constexpr std::string_view kNul("\0", 1);
constexpr std::string_view kZeros("\0\0\0\0", 4);

}  // namespace

void AppendMessage(std::string& out, uint8_t type, std::initializer_list<std::string_view> parts) {
  uint32_t length = 4;
  for (const std::string_view part : parts) length += static_cast<uint32_t>(part.size());
  out.push_back(static_cast<char>(type));
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(length >> shift));
  for (const std::string_view part : parts) out.append(part);
}

std::string SelectCalls(std::string_view front, std::string_view back, size_t count) {
  std::string sql = "SELECT ";
  for (size_t i = 1; i <= count; ++i) engine::Append(sql, i > 1 ? "," : "", front, i, back);
  return sql;
}

std::string SetConfigs(const Calls& calls, bool local) {
  std::string sql = "SELECT ";
  for (size_t i = 1; i < calls.size(); i += 2) {
    engine::Append(sql, i > 1 ? "," : "", "pg_catalog.set_config($", i, ",$", i + 1,
                   local ? ",true)" : ",false)");
  }
  return sql;
}

std::string OwnStatementMessages(std::string_view sql, OwnStatementOptions options,
                                 OwnParameters parameters) {
  std::string out;
  if (options.close_first) AppendMessage(out, frontend::kClose, {"S", kOwnName, kNul});
  AppendMessage(out, frontend::kParse, {kOwnName, kNul, sql, kNul, kZeros.substr(0, 2)});
  AppendMessage(out, frontend::kBind, {kOwnName, kNul, kOwnName, kNul, Values(parameters)});
  AppendMessage(out, frontend::kExecute, {kOwnName, kNul, kZeros});
  if (options.close_portal) AppendMessage(out, frontend::kClose, {"P", kOwnName, kNul});
  AppendMessage(out, frontend::kClose, {"S", kOwnName, kNul});
  if (options.sync) AppendMessage(out, frontend::kSync, {});
  return out;
}

void AppendOwnExecution(std::string& out, std::string_view name, OwnParameters parameters) {
  AppendMessage(out, frontend::kBind, {kNul, name, kNul, Values(parameters)});
  AppendMessage(out, frontend::kExecute, {kNul, kZeros});
  AppendMessage(out, frontend::kSync, {});
}

}  // namespace weir::postgres
