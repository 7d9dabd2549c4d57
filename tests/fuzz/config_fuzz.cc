// Configuration files: whatever is in one, it is loaded, or refused with a place and a reason.
//
// Input: the file's text. It cannot name files of this machine: a text with a slash or
// "secret_file" is refused a secret by the missing file or is not tried.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "engine/base/text.h"
#include "pool/config/load_toml.h"
#include "pool/config/option_table.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {
namespace {

// A file in memory.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view text) : fd_(memfd_create("config", MFD_CLOEXEC)) {
    CHECK(fd_ >= 0);
    CHECK(write(fd_, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    path_ = engine::Cat("/proc/self/fd/", fd_);
  }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  int fd_;
  std::string path_;
};

// Every number is in the range that its row declares; a size that may be off is 0 then.
template <class Options>
void CheckRanges(const Options& options) {
  pool::VisitOptions(options, [](const pool::OptionInfo& info, const auto& value) {
    if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(value)>>) {
      if (info.type == pool::OptionType::kBytesOrOff && value == 0) return;
      const double unit = info.type == pool::OptionType::kSeconds ? 1e9 : 1;
      CHECK(static_cast<double>(value) >= info.least * unit - 0.5);
      CHECK(static_cast<double>(value) <= info.greatest * unit + 0.5);
    }
  });
}

void CheckLoaded(const pool::Config& config) {
  CheckRanges(config.proxy);
  CheckRanges(config.connection_pool);
  CheckRanges(config.engine);
  CHECK(!config.endpoints.empty() && !config.targets.empty() && !config.auths.empty());
  for (const auto& each : config.endpoints) CheckRanges(each);
  for (const auto& each : config.targets) CheckRanges(each);
  for (const auto& each : config.auths) CheckRanges(each);
  CHECK(config.access_rules.in_force() == !config.access.empty());
  CHECK(config.access_rules.rules().size() == config.access.size());
  for (const auto& [user, number] : config.users) CHECK(number < config.auths.size());
  CHECK(config.connection_pool.max_idle_connections_percent <=
        config.connection_pool.max_connections_percent);
}

// Each line of an error starts with the file.
void CheckMessage(std::string_view message, const std::string& path) {
  CHECK(message.starts_with(path + ":"));
  CHECK(message.size() > path.size() + 2);
}

// Secrets are read: of no other file than this one.
constexpr std::string_view kSecretOption = "secret_file";
constexpr std::string_view kSecret = R"({"username": "app", "password": "x"})";

FUZZ_TARGET(config) {
  const std::string_view given = engine::AsText(input);
  // Only the harness names files, by a byte 1 that stands for a good secret's.
  const MemoryFile secret(kSecret);
  std::string text;
  for (const char c : given) {
    if (c == '\1') {
      engine::Append(text, kSecretOption, " = \"", secret.path(), "\"");
    } else {
      text += c;
    }
  }
  if (given.find("file") != std::string_view::npos || given.find('\\') != std::string_view::npos)
    return;
  const MemoryFile file(text);
  const absl::StatusOr<pool::Config> config = pool::LoadConfig(file.path());
  if (config.ok()) {
    CheckLoaded(*config);
  } else {
    CheckMessage(std::string(config.status().message()), file.path());
  }
  const absl::StatusOr<pool::Config> again = pool::LoadConfig(file.path());
  CHECK(again.status() == config.status());
}

}  // namespace
}  // namespace weir::fuzz
