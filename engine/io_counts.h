// What the loop of one shard counts since it started. Plain numbers of one thread.
#pragma once

#include <cstdint>

namespace weir::engine {

struct IoCounts {
  uint64_t ticks = 0;        // each is one system call
  uint64_t completions = 0;  // that the ticks brought; per tick: how well calls are shared
  uint64_t enobufs = 0;      // receives that found no buffer
  uint64_t short_sends = 0;  // sends of which the kernel took only a part
};

}  // namespace weir::engine
