#include "pool/config/salt_key.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "engine/base/log.h"
#include "engine/base/text.h"
#include "pool/config/check_config.h"

namespace weir::pool {
namespace {

constexpr size_t kKeyBytes = 32;

}  // namespace

absl::StatusOr<std::string> LoadSaltKey(const Config& config, engine::Entropy& entropy,
                                        MissingKey missing) {
  const bool named = !config.proxy.salt_key_file.empty();
  const std::string path =
      named ? config.proxy.salt_key_file : engine::Cat(config.file, ".salt-key");
  if (absl::StatusOr<std::string> key = ReadSmallFile(path); key.ok()) {
    if (key->size() >= kKeyBytes) return key;
    return absl::InvalidArgumentError(
        engine::Cat(path, ": salt_key_file must hold at least 32 bytes"));
  } else if (named && errno != ENOENT) {
    return key.status();
  }
  std::string key(kKeyBytes, '\0');
  entropy.Fill({reinterpret_cast<uint8_t*>(key.data()), key.size()});
  if (missing == MissingKey::kLeave) return key;
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const bool written =
      fd >= 0 && write(fd, key.data(), key.size()) == static_cast<ssize_t>(key.size());
  const int error = errno;
  if (fd >= 0) close(fd);
  if (!written) {
    if (named)
      return absl::UnavailableError(
          engine::Cat(path, ": cannot be made: ", std::string_view(std::strerror(error))));
    engine::Log(engine::LogLevel::kWarn,
                engine::Cat(path, ": cannot be made (", std::string_view(std::strerror(error)),
                            "): the key for the salts of unknown users lasts for this run only; "
                            "see salt_key_file"));
  }
  return key;
}

}  // namespace weir::pool
