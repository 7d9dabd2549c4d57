// A client's base: the settings that its session begins with, from its startup message, and that
// its resets go back to.
//
// The parameters of a startup message and the switches in its `options` are one list of settings.
// Backends are opened with none of them: they are set on whatever backend the client runs, as
// settings that it has made itself are. What only the beginning of a session reads, and what weir
// does not read in `options`, stays with the backend: it is part of the route. (PostgreSQL,
// process_startup_options: `options` first, then the parameters in their order.)
#pragma once

#include <optional>
#include <string_view>

#include "protocol/dialect.h"

namespace weir::postgres {

// More of them stay with the backend.
inline constexpr size_t kBaseSettingsMax = 32;

protocol::StartupSettings SplitStartup(const protocol::ClientIdentity& identity);

// The settings in an `options` text: -c name=value and --name=value, in order. None if it has
// anything else in it. (PostgreSQL, pg_split_opts and process_postgres_switches.)
std::optional<protocol::Parameters> SettingsOfOptions(std::string_view options);

}  // namespace weir::postgres
