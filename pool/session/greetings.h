// What the server reports about itself at login (ParameterStatus), by route: later clients of the
// route get it at once, without a backend. Every new backend refreshes it. Shared by all shards;
// asked once a login.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "pool/core/routes.h"
#include "protocol/dialect.h"

namespace weir::pool {

class Greetings {
 public:
  using Greeting = std::shared_ptr<const protocol::Parameters>;

  // nullptr: no backend of the route has ever logged in.
  Greeting Find(RouteId route) const;
  void Store(RouteId route, const protocol::Parameters& parameters);

 private:
  mutable std::mutex mutex_;
  std::vector<Greeting> by_route_;
};

}  // namespace weir::pool
