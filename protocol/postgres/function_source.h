// What the source of a function may do to the session that calls it, from its text alone.
//
// For sources in SQL and PL/pgSQL, also of DO blocks, and for the text of default arguments. Names
// that stand in front of a parenthesis count as called; whether there is such a function is for the
// catalogue to find out (catalogue.h). Statements that cannot be seen (EXECUTE) count as opaque.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "protocol/postgres/call_effect.h"
#include "protocol/postgres/sql_lexer.h"

namespace weir::postgres {

struct SourceFacts {
  CallEffect effect;                  // without what the called functions do
  std::vector<std::string> calls;     // names without their schema, sorted, each once
  std::vector<std::string> settings;  // of the user's own (with a dot), set by name
};

// A text in which a backslash may or may not escape is read both ways.
SourceFacts FactsOfSource(std::string_view source, bool ascii_trailing_bytes = false);

}  // namespace weir::postgres
