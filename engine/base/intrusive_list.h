// A doubly linked list whose links are members of its elements: no allocation, removal from the
// middle in O(1).
//
//   struct Waiter { ListLink link; };
//   IntrusiveList<Waiter, &Waiter::link> queue;
//
// An element is in at most one list per link. The list owns nothing; an element must leave before
// it dies.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/base/check.h"

namespace weir::engine {

struct ListLink {
  ListLink* previous = nullptr;
  ListLink* next = nullptr;
  bool linked() const { return next != nullptr; }
  ListLink() = default;
  ListLink(const ListLink&) = delete;
  ListLink& operator=(const ListLink&) = delete;
  ~ListLink() { CHECK(!linked()); }
};

template <class T, ListLink T::*Link>
class IntrusiveList {
 public:
  IntrusiveList() { head_.previous = head_.next = &head_; }
  ~IntrusiveList() {
    CHECK(empty());
    head_.previous = head_.next = nullptr;
  }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }

  void PushBack(T& element) { InsertBefore(head_, element.*Link); }
  void PushFront(T& element) { InsertBefore(*head_.next, element.*Link); }

  void Remove(T& element) {
    ListLink& link = element.*Link;
    CHECK(link.linked() && size_ > 0);
    link.previous->next = link.next;
    link.next->previous = link.previous;
    link.previous = link.next = nullptr;
    --size_;
  }

  // nullptr when empty.
  T* Front() { return empty() ? nullptr : Owner(head_.next); }
  const T* Front() const { return const_cast<IntrusiveList*>(this)->Front(); }
  T* Back() { return empty() ? nullptr : Owner(head_.previous); }
  // The neighbours of an element of this list; nullptr at the end.
  T* Next(T& element) { return OwnerOrNull((element.*Link).next); }
  T* Previous(T& element) { return OwnerOrNull((element.*Link).previous); }

  T* PopFront() {
    T* front = Front();
    if (front != nullptr) Remove(*front);
    return front;
  }

 private:
  static T* Owner(ListLink* link) {
    // The offset of a member whose pointer-to-member is a template argument.
    alignas(T) static char probe[sizeof(T)];
    T* fake = reinterpret_cast<T*>(probe);
    const ptrdiff_t offset = reinterpret_cast<char*>(&(fake->*Link)) - probe;
    return reinterpret_cast<T*>(reinterpret_cast<char*>(link) - offset);
  }
  T* OwnerOrNull(ListLink* link) { return link == &head_ ? nullptr : Owner(link); }

  void InsertBefore(ListLink& position, ListLink& link) {
    CHECK(!link.linked());
    link.previous = position.previous;
    link.next = &position;
    position.previous->next = &link;
    position.previous = &link;
    ++size_;
  }

  ListLink head_;
  size_t size_ = 0;
};

}  // namespace weir::engine
