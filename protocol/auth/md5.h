// PostgreSQL's md5 password answer: "md5" + md5(md5(password + user) + salt).
#pragma once

#include <string>
#include <string_view>

namespace weir::protocol {

std::string Md5Password(std::string_view user, std::string_view password, std::string_view salt);

}  // namespace weir::protocol
