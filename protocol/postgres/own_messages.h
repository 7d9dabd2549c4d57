// Statements that weir runs itself on a backend, as messages of the extended protocol: a simple
// Query would destroy the session's unnamed statement, and so would an unnamed Parse.
#pragma once

#include <string>
#include <string_view>

namespace weir::postgres {

// Parse, Bind, Execute, Close of a reserved name and portal, and a Sync if asked for. The server
// answers '1' '2' 'C' '3' and 'Z'.
std::string OwnStatementMessages(std::string_view sql, bool sync);

}  // namespace weir::postgres
