// Statements that weir runs itself on a backend, as messages of the extended protocol: a simple
// Query would destroy the session's unnamed statement, and so would an unnamed Parse.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir::postgres {

// The name of what comes and goes.
inline constexpr std::string_view kOwnName = "__weir_own";

// A message of these parts.
void AppendMessage(std::string& out, uint8_t type, std::initializer_list<std::string_view> parts);

// Values of $1, $2, ...; none: NULL.
using OwnParameters = std::span<const std::optional<std::string_view>>;

// Names and values, in turn, or names alone.
using Calls = std::vector<std::optional<std::string_view>>;

// Makes every error the end of the session: it stands around a replay.
inline constexpr std::string_view kFence = "exit_on_error";

// SELECT of `count` calls: `front`, the number of a parameter, `back`.
std::string SelectCalls(std::string_view front, std::string_view back, size_t count);
// SELECT of set_config for each name and value of `calls`; `local`: for the transaction only.
std::string SetConfigs(const Calls& calls, bool local = false);

// Parse, Bind, Execute, Close of a reserved name and portal, and a Sync if asked for. The server
// answers '1' '2' 'C' '3' and 'Z'; rows come before the 'C'. `close_first`: one that failed may
// have left the name behind; its Close goes ahead, answered with another '3'. `close_portal`: it
// runs in a transaction of the client's, which keeps portals: there another one of weir's own may
// follow, and pg_cursors shows them; another '3' behind the 'C'.
struct OwnStatementOptions {
  bool sync = true;
  bool close_first = false;
  bool close_portal = false;
};
std::string OwnStatementMessages(std::string_view sql, OwnStatementOptions options,
                                 OwnParameters parameters = {});

// Bind, Execute, Sync of a statement that is prepared under `name`. The server answers '2' 'C' 'Z'.
void AppendOwnExecution(std::string& out, std::string_view name, OwnParameters parameters);

}  // namespace weir::postgres
