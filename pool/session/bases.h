// The bases that a server is known to take, by route: what a client begins with, and its greeting.
//
// The first client of a base proves it on a backend, during its login; later ones need none. What
// is proven counts as long as backends of the route begin with what they began with then: their
// own report is compared. Bounded; the one used longest ago goes first. Single shard.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>

#include "engine/base/text.h"
#include "pool/session/greetings.h"
#include "protocol/dialect.h"

namespace weir::pool {

struct ProvenBase {
  protocol::Parameters values = {};    // as the server tells them
  protocol::Parameters greeting = {};  // what it reports of a session in them
  // Not empty: these belong to the route, and the rest is void.
  protocol::Parameters only_at_start = {};
  Greetings::Greeting began_with = {};  // the report of the route's backends then
};

class Bases {
 public:
  static constexpr size_t kBasesMax = 1024;
  static constexpr size_t kBytesMax = size_t{4} << 20;

  // nullptr: not proven, or no more. Good until the next call.
  const ProvenBase* Find(RouteId route, std::string_view base, const Greetings::Greeting& now);
  void Store(RouteId route, std::string_view base, ProvenBase proven);
  size_t size() const { return by_key_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::string key;
    ProvenBase proven;
    size_t bytes = 0;
  };
  using Entries = std::list<Entry>;  // most recently used first
  static std::string KeyOf(RouteId route, std::string_view base);
  void Remove(Entries::iterator entry);

  Entries entries_;
  engine::TextMap<Entries::iterator> by_key_;
  size_t bytes_ = 0;
};

}  // namespace weir::pool
