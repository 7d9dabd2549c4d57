// The last transitions of a shard: what it prints when a CHECK fails.
#pragma once

#include <cstdint>

#include "engine/base/check.h"

namespace weir::engine {

class Trace {
 public:
  explicit Trace(uint32_t shard);
  ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  // `what`: a text that lives as long as the program.
  void Record(const char* what, uint64_t subject, uint64_t detail) {
    entries_[next_++ % kEntries] = {what, subject, detail};
  }

 private:
  static constexpr uint32_t kEntries = 64;
  struct Entry {
    const char* what;
    uint64_t subject;
    uint64_t detail;
  };
  static void Print(void* trace, int fd);

  const uint32_t shard_;
  uint32_t next_ = 0;
  Entry entries_[kEntries] = {};
};

}  // namespace weir::engine
