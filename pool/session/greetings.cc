#include "pool/session/greetings.h"

namespace weir::pool {

Greetings::Greeting Greetings::Find(RouteId route) const {
  std::lock_guard lock(mutex_);
  return route < by_route_.size() ? by_route_[route] : nullptr;
}

void Greetings::Store(RouteId route, const protocol::Parameters& parameters) {
  {
    std::lock_guard lock(mutex_);
    if (route < by_route_.size() && by_route_[route] != nullptr && *by_route_[route] == parameters)
      return;
  }
  auto greeting = std::make_shared<const protocol::Parameters>(parameters);
  std::lock_guard lock(mutex_);
  if (by_route_.size() <= route) by_route_.resize(route + 1);
  by_route_[route] = std::move(greeting);
}

}  // namespace weir::pool
