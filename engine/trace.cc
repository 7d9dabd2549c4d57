#include "engine/trace.h"

#include <unistd.h>

#include <cstdio>

namespace weir::engine {

Trace::Trace(uint32_t shard) : shard_(shard) { AddCrashPrinter(&Trace::Print, this); }

Trace::~Trace() { RemoveCrashPrinter(&Trace::Print, this); }

void Trace::Print(void* object, int fd) {
  const Trace& trace = *static_cast<Trace*>(object);
  for (uint32_t i = 0; i < kEntries; ++i) {
    const Entry& entry = trace.entries_[(trace.next_ + i) % kEntries];
    if (entry.what == nullptr) continue;
    char line[160];
    const int length =
        std::snprintf(line, sizeof line, "weir: shard %u: %s %llu %llu\n", trace.shard_, entry.what,
                      static_cast<unsigned long long>(entry.subject),
                      static_cast<unsigned long long>(entry.detail));
    if (length > 0 && write(fd, line, static_cast<size_t>(length)) < 0) return;
  }
}

}  // namespace weir::engine
