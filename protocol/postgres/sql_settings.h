// Which settings of its session a text may change.
//
// A second reading of a text that the scanner (sql_scan.h) has marked with kSets: SET, RESET,
// DISCARD ALL, set_config and their special forms. Names only: their values are asked of the server
// when the transaction is over, since only it knows what SAVEPOINT, LOCAL and errors made of them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "protocol/postgres/sql_lexer.h"

namespace weir::postgres {

struct SettingNames {
  std::vector<std::string> names;  // as the server knows them, in lower case; not sorted
  // Of the user's own (with a dot), set for a transaction only: they stay in the session as ''.
  std::vector<std::string> placeholders;
  // Those that go back to what the session began with: RESET, TO DEFAULT; or may do so: set_config
  // of a value that the text does not tell.
  struct Reset {
    std::string name;
    bool local = false;  // for the transaction only
  };
  std::vector<Reset> resets;
  // Those of them that are set for the transaction behind that. When it is over, the server tells
  // what it has reset as set by the session.
  std::vector<std::string> masked;
  bool resets_first = false;  // others stand behind one that does so, and may run by what it resets
  bool only_resets = false;   // one statement, which certainly does that and nothing else
  bool all = false;           // RESET ALL, DISCARD ALL
  bool roles = false;         // DISCARD ALL: also the role and the session's user
  bool unknown = false;       // a name that the text alone does not tell
  // Settings that decide how texts are lexed, or literals read, change for a transaction or longer.
  bool shapes_lexing = false;
  bool shapes_literals = false;
};

SettingNames SettingsOf(std::string_view text, LexMode mode);

// Settings that decide how a text is lexed.
bool ShapesLexing(std::string_view setting);
// Settings that decide how literals are turned into values.
bool ShapesLiterals(std::string_view setting);
// Settings that the server reads when it parses a statement: names are looked up then, and literals
// turned into values.
bool ShapesParsing(std::string_view setting);

}  // namespace weir::postgres
