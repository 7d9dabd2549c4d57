// A pg_hba.conf of PostgreSQL, read as rules of access ("The pg_hba.conf File" of its manual).
//
// Quotes, comments, continued lines, lists, all kinds of connections, networks by prefix or mask,
// and the methods trust, reject, scram-sha-256, md5 (any password) and cert mean what they mean
// there. What weir cannot do as written (groups, included files, host names, regular expressions,
// other methods, options) is an error with its line: a line that is passed over could admit, or
// refuse, the wrong ones.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pool/config/access.h"

namespace weir::pool {

struct PgHba {
  std::vector<AccessRule> rules;
  std::vector<std::string> errors;  // "line 3: ..."; any makes the rules worthless
};

// `name` stands in the rules' places.
PgHba ParsePgHba(std::string_view text, std::string_view name);

}  // namespace weir::pool
