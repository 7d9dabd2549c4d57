// A stack of its own for one shard: it runs until it gives way, and goes on from there.
#pragma once

#include <ucontext.h>

#include <functional>
#include <memory>

namespace weir::sim {

class Fiber {
 public:
  explicit Fiber(std::function<void()> body);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // From outside: runs it until it gives way or ends.
  void Resume();
  // From inside.
  void GiveWay();
  bool ended() const { return ended_; }

 private:
  static void Main(unsigned high, unsigned low);

  static constexpr size_t kStackBytes = 512 * 1024;
  std::function<void()> body_;
  std::unique_ptr<char[]> stack_;
  ucontext_t inside_{};
  ucontext_t outside_{};
  bool ended_ = false;
  void* inside_fake_ = nullptr;  // AddressSanitizer's
  void* outside_fake_ = nullptr;
  const void* outside_stack_ = nullptr;
  size_t outside_size_ = 0;
};

}  // namespace weir::sim
