#include "tests/sim/fiber.h"

#include <cstdint>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define WEIR_ASAN 1
#else
#define WEIR_ASAN 0
#endif

namespace weir::sim {
namespace {

// AddressSanitizer must know on which stack we are.
void BeforeSwitch([[maybe_unused]] void** fake, [[maybe_unused]] const void* stack,
                  [[maybe_unused]] size_t size) {
#if WEIR_ASAN
  __sanitizer_start_switch_fiber(fake, stack, size);
#endif
}

void AfterSwitch([[maybe_unused]] void* fake, [[maybe_unused]] const void** stack,
                 [[maybe_unused]] size_t* size) {
#if WEIR_ASAN
  __sanitizer_finish_switch_fiber(fake, stack, size);
#endif
}

}  // namespace

Fiber::Fiber(std::function<void()> body)
    : body_(std::move(body)), stack_(std::make_unique<char[]>(kStackBytes)) {
  getcontext(&inside_);
  inside_.uc_stack.ss_sp = stack_.get();
  inside_.uc_stack.ss_size = kStackBytes;
  inside_.uc_link = nullptr;
  const uint64_t self = reinterpret_cast<uintptr_t>(this);
  makecontext(&inside_, reinterpret_cast<void (*)()>(&Fiber::Main), 2,
              static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
}

Fiber::~Fiber() = default;

void Fiber::Main(unsigned high, unsigned low) {
  Fiber& fiber = *reinterpret_cast<Fiber*>(uintptr_t{high} << 32 | low);
  AfterSwitch(nullptr, &fiber.outside_stack_, &fiber.outside_size_);
  fiber.body_();
  fiber.ended_ = true;
  BeforeSwitch(nullptr, fiber.outside_stack_, fiber.outside_size_);
  swapcontext(&fiber.inside_, &fiber.outside_);
}

void Fiber::Resume() {
  BeforeSwitch(&outside_fake_, stack_.get(), kStackBytes);
  swapcontext(&outside_, &inside_);
  AfterSwitch(outside_fake_, nullptr, nullptr);
}

void Fiber::GiveWay() {
  BeforeSwitch(&inside_fake_, outside_stack_, outside_size_);
  swapcontext(&inside_, &outside_);
  AfterSwitch(inside_fake_, &outside_stack_, &outside_size_);
}

}  // namespace weir::sim
