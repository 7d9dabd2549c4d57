#include "pool/config/access_keys.h"

#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "engine/base/text.h"
#include "pool/config/check_config.h"
#include "protocol/auth/crypto.h"

namespace weir::pool {
namespace {

using engine::Cat;

absl::Status CheckMode(const std::string& path) {
  std::error_code error;
  const std::filesystem::perms mode = std::filesystem::status(path, error).permissions();
  constexpr std::filesystem::perms kOthers =
      std::filesystem::perms::group_all | std::filesystem::perms::others_all;
  if (!error && (mode & kOthers) != std::filesystem::perms::none) {
    return absl::PermissionDeniedError(
        Cat(path, ": others than its owner may read or write it: set its mode to 0600"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<protocol::CredentialsEntry>> ReadAccessKeys(const std::string& path) {
  if (absl::Status status = CheckMode(path); !status.ok()) return status;
  absl::StatusOr<std::string> text = ReadSmallFile(path);
  if (!text.ok()) return text.status();
  absl::StatusOr<std::vector<protocol::CredentialsEntry>> entries =
      protocol::ParseCredentialsFile(*text);
  protocol::Wipe(*text);
  if (entries.ok()) return entries;
  return absl::InvalidArgumentError(
      Cat(path, ": ", std::string_view(std::string(entries.status().message()))));
}

absl::StatusOr<protocol::AccessKey> ReadAccessKey(const std::string& path,
                                                  const std::string& section) {
  absl::StatusOr<std::vector<protocol::CredentialsEntry>> entries = ReadAccessKeys(path);
  if (!entries.ok()) return entries.status();
  for (protocol::CredentialsEntry& each : *entries) {
    if (each.name == section) return std::move(each.key);
  }
  return absl::NotFoundError(
      Cat(path, " has no section [", engine::Visible(section), "] with a key"));
}

}  // namespace weir::pool
