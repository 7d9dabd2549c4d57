// Which prepared statements a text names: PREPARE, EXECUTE, DEALLOCATE and their forms.
//
// A second reading of a text that the scanner (sql_scan.h) has marked with kNamesStatements. A name
// too many does no harm: what is named is only looked after.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "protocol/postgres/sql_lexer.h"

namespace weir::postgres {

struct SqlNames {
  std::vector<std::string> runs;     // EXECUTE, EXPLAIN EXECUTE, CREATE TABLE AS EXECUTE
  std::vector<std::string> changes;  // PREPARE, DEALLOCATE
  std::string prepares;  // the text is exactly one PREPARE of this name; empty: it is not
  // A name that may be spelled otherwise in another client's encoding.
  bool unknown = false;
};

SqlNames NamesIn(std::string_view text, LexMode mode);

}  // namespace weir::postgres
