// A function and the object it is for: two words, no allocation. What a completion, a timer or a
// job calls.
//
//   timer.Bind(Callback::To<&ClientSession::OnDeadline>(*this));
#pragma once

namespace weir::engine {

class Callback {
 public:
  Callback() = default;

  template <auto Method, class T>
  static Callback To(T& owner) {
    return Callback([](void* object) { (static_cast<T*>(object)->*Method)(); }, &owner);
  }

  explicit operator bool() const { return function_ != nullptr; }
  void operator()() const { function_(owner_); }

 private:
  using Function = void (*)(void*);
  Callback(Function function, void* owner) : function_(function), owner_(owner) {}

  Function function_ = nullptr;
  void* owner_ = nullptr;
};

}  // namespace weir::engine
