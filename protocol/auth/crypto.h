// The few primitives that logins need, over OpenSSL; and texts that are wiped when they die.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir::protocol {

using Digest256 = std::array<uint8_t, 32>;

Digest256 Sha256(std::string_view data);
Digest256 HmacSha256(std::string_view key, std::string_view data);
std::string Md5Hex(std::string_view data);
std::string Base64(std::string_view data);
std::optional<std::string> FromBase64(std::string_view text);  // nullopt: not base64
bool EqualInConstantTime(std::string_view a, std::string_view b);
void Wipe(std::string& secret);
void Wipe(Digest256& secret);

inline std::string_view AsText(const Digest256& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

}  // namespace weir::protocol
