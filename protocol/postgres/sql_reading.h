// The second reading of a text: what the scanner (sql_scan.h) has found to be in it, in detail.
#pragma once

#include <string_view>

#include "engine/base/bytes.h"
#include "protocol/postgres/sql_lexer.h"

namespace weir::postgres {

// Gives `reader` the tokens of all of the text (OnToken), then its end (Finish). False: the server
// may see others.
template <class Reader>
[[nodiscard]] bool ReadAgain(std::string_view text, LexMode mode, Reader& reader) {
  SqlLexer lexer(mode);
  lexer.Feed(engine::AsBytes(text), reader);
  // Inside of an open string or comment nothing counts: the server refuses all of the text.
  lexer.Finish(reader);
  reader.Finish();
  return !lexer.unreadable();
}

}  // namespace weir::postgres
