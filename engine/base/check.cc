#include "engine/base/check.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>

namespace weir::engine {
namespace {

struct Entry {
  CrashPrinter printer;
  void* owner;
};

constexpr int kPrintersMax = 64;

struct Printers {
  std::mutex mutex;
  Entry entries[kPrintersMax] = {};
};

Printers& ThisProcess() {
  static Printers printers;
  return printers;
}

}  // namespace

void AddCrashPrinter(CrashPrinter printer, void* owner) {
  Printers& printers = ThisProcess();
  std::lock_guard lock(printers.mutex);
  for (Entry& entry : printers.entries) {
    if (entry.printer == nullptr) {
      entry = {printer, owner};
      return;
    }
  }
}

void RemoveCrashPrinter(CrashPrinter printer, void* owner) {
  Printers& printers = ThisProcess();
  std::lock_guard lock(printers.mutex);
  for (Entry& entry : printers.entries) {
    if (entry.printer == printer && entry.owner == owner) entry = {};
  }
}

void CheckFailed(const char* file, int line, const char* condition) {
  char text[512];
  int length =
      std::snprintf(text, sizeof text, "weir: CHECK failed at %s:%d: %s\n", file, line, condition);
  if (length > static_cast<int>(sizeof text)) length = sizeof text;
  if (write(STDERR_FILENO, text, static_cast<size_t>(length)) < 0) std::abort();
  // Without the lock: the failing thread may hold it.
  for (Entry& entry : ThisProcess().entries) {
    if (entry.printer != nullptr) entry.printer(entry.owner, STDERR_FILENO);
  }
  std::abort();
}

}  // namespace weir::engine
