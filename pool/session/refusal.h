// What weir tells a client that it refuses: SQLSTATE and text, as operators of the managed proxy
// know them.
#pragma once

#include <string_view>

namespace weir::pool {

struct Refusal {
  std::string_view sqlstate;
  std::string_view text;
};

inline constexpr Refusal kBorrowTimedOut = {"08000",
                                            "Timed-out waiting to acquire database connection."};
inline constexpr Refusal kTlsRequired = {"28000", "This proxy requires TLS connections."};
inline constexpr Refusal kCancelled = {"57014", "canceling statement due to user request"};
inline constexpr Refusal kShuttingDown = {
    "57P01", "terminating connection due to administrator command: the proxy is shutting down"};
inline constexpr Refusal kIdleTooLong = {
    "57P05", "terminating connection: idle for longer than idle_client_timeout"};
inline constexpr Refusal kIdleSession = {"57P05",
                                         "terminating connection due to idle-session timeout"};
inline constexpr Refusal kIdleTransaction = {
    "25P03",
    "terminating connection: idle in transaction for longer than idle_transaction_timeout"};
inline constexpr Refusal kLifetimeOver = {"57P05",
                                          "terminating connection: older than client_lifetime"};
inline constexpr Refusal kUnfinishedMessage = {
    "08P01",
    "terminating connection: a message was left unfinished while others wait for a database "
    "connection"};
inline constexpr Refusal kConnectionLost = {
    "08006", "the database connection was lost; the transaction, if any, has been rolled back"};
inline constexpr Refusal kServerProtocol = {"08P01",
                                            "the database server sent a message that the proxy did "
                                            "not expect; the connection to it was closed"};
inline constexpr Refusal kLoginTimeout = {"08P01",
                                          "the login was not finished within client_login_timeout"};

}  // namespace weir::pool
