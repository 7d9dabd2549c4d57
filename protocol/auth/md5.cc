#include "protocol/auth/md5.h"

#include "engine/base/text.h"
#include "protocol/auth/crypto.h"

namespace weir::protocol {
namespace {

constexpr std::string_view kBegin = "md5";
constexpr size_t kHashLength = 3 + 32;

std::string WithPrefix(const std::string& hex) {
  return hex.empty() ? std::string() : engine::Cat(kBegin, hex);
}

}  // namespace

bool IsMd5Hash(std::string_view text) {
  return text.size() == kHashLength && text.starts_with(kBegin) &&
         text.find_first_not_of("0123456789abcdef", kBegin.size()) == std::string_view::npos;
}

std::string Md5Hash(std::string_view user, std::string_view password) {
  if (IsMd5Hash(password)) return std::string(password);
  std::string both = engine::Cat(password, user);
  std::string hex = Md5Hex(both);
  Wipe(both);
  return WithPrefix(hex);
}

std::string Md5Answer(std::string_view hash, std::string_view salt) {
  if (!IsMd5Hash(hash)) return {};
  return WithPrefix(Md5Hex(engine::Cat(hash.substr(kBegin.size()), salt)));
}

}  // namespace weir::protocol
