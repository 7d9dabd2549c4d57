// PostgreSQL's md5 passwords: the hash that is kept is "md5" + md5(password + user), the answer to
// a challenge "md5" + md5(hash without its "md5" + salt). Whoever has the hash can answer: it is as
// good as the password.
#pragma once

#include <string>
#include <string_view>

namespace weir::protocol {

bool IsMd5Hash(std::string_view text);
// `password`: or its hash already. Empty if this machine's library refuses md5.
std::string Md5Hash(std::string_view user, std::string_view password);
// Empty for an empty hash: nothing that a client may answer.
std::string Md5Answer(std::string_view hash, std::string_view salt);

}  // namespace weir::protocol
