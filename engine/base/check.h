// CHECK: assertions that stay on in production.
//
// A failed CHECK means that weir itself is wrong. It prints the place, the condition and whatever
// the registered crash printers know (the last transitions), and aborts: a row shown to the wrong
// client is worse than an outage. Never CHECK what a peer sends.
#pragma once

namespace weir::engine {

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

// Called once, after the message, with the descriptor to write to. Async-signal-safe code only. At
// most 64 printers; a printer is removed by the same pair.
using CrashPrinter = void (*)(void* owner, int fd);
void AddCrashPrinter(CrashPrinter printer, void* owner);
void RemoveCrashPrinter(CrashPrinter printer, void* owner);

}  // namespace weir::engine

#define CHECK(condition)                             \
  (__builtin_expect(static_cast<bool>(condition), 1) \
       ? static_cast<void>(0)                        \
       : ::weir::engine::CheckFailed(__FILE__, __LINE__, #condition))

// For the end of a switch that names every case.
#define UNREACHABLE() ::weir::engine::CheckFailed(__FILE__, __LINE__, "unreachable")
