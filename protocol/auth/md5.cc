#include "protocol/auth/md5.h"

#include "engine/base/text.h"
#include "protocol/auth/crypto.h"

namespace weir::protocol {

std::string Md5Password(std::string_view user, std::string_view password, std::string_view salt) {
  const std::string inner = Md5Hex(engine::Cat(password, user));
  return engine::Cat("md5", Md5Hex(engine::Cat(inner, salt)));
}

}  // namespace weir::protocol
