// Replays corpora without libFuzzer: fuzz_replay CORPUS, where CORPUS/TARGET/* are inputs of
// TARGET. Each is run whole and cut short at every length. Exit status 0 if every target has inputs
// and nothing was found; a CHECK that fails aborts, the last line names the input.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {
namespace {

// Longer inputs are cut at this many places, evenly.
constexpr size_t kCutsMax = 512;

std::map<std::string, Target>& Targets() {
  static std::map<std::string, Target> targets;
  return targets;
}

bool Replay(const std::string& name, Target target, const std::filesystem::path& corpus) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(corpus / name, error)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const std::filesystem::path& path : files) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    const std::string input = text.str();
    std::fprintf(stderr, "%s\n", path.c_str());
    const size_t step = input.size() / kCutsMax + 1;
    for (size_t length = 0; length < input.size(); length += step) {
      target(engine::AsBytes(std::string_view(input).substr(0, length)));
    }
    target(engine::AsBytes(input));
  }
  std::printf("%s: %zu inputs\n", name.c_str(), files.size());
  return !files.empty();
}

}  // namespace

Registered::Registered(const char* name, Target target) { Targets()[name] = target; }

}  // namespace weir::fuzz

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_replay CORPUS\n");
    return 2;
  }
  bool all = true;
  for (const auto& [name, target] : weir::fuzz::Targets()) {
    if (!weir::fuzz::Replay(name, target, argv[1])) {
      std::fprintf(stderr, "fuzz_replay: %s/%s has no inputs\n", argv[1], name.c_str());
      all = false;
    }
  }
  return all ? 0 : 1;
}
