#include "pool/core/routes.h"

#include "engine/base/check.h"

namespace weir::pool {

std::string RouteKey::Text() const {
  // Lengths keep the parts apart, whatever bytes are in them.
  return engine::Cat(static_cast<int>(role), ":", database.size(), ":", database, user.size(), ":",
                     user, parameters);
}

absl::StatusOr<const Route*> RouteTable::Intern(const RouteKey& key) {
  const std::string text = key.Text();
  std::lock_guard lock(mutex_);
  if (const auto found = by_text_.find(text); found != by_text_.end()) return found->second;
  if (routes_.size() >= kRoutesMax) {
    return absl::ResourceExhaustedError(
        "too many different combinations of database, user and startup parameters");
  }
  Route& route = routes_.emplace_back();
  route.id = static_cast<RouteId>(routes_.size());
  route.key = key;
  by_text_.emplace(text, &route);
  return &route;
}

const Route& RouteTable::ById(RouteId id) {
  std::lock_guard lock(mutex_);
  CHECK(id > 0 && id <= routes_.size());
  return routes_[id - 1];
}

const Route& RouteCache::Get(RouteId id) {
  if (id >= routes_.size() || routes_[id] == nullptr) Learn(table_.ById(id));
  return *routes_[id];
}

absl::StatusOr<RouteId> RouteCache::Intern(const RouteKey& key) {
  const std::string text = key.Text();
  if (const auto found = by_text_.find(text); found != by_text_.end()) return found->second->id;
  absl::StatusOr<const Route*> route = table_.Intern(key);
  if (!route.ok()) return route.status();
  by_text_.emplace(text, *route);
  Learn(**route);
  return (*route)->id;
}

void RouteCache::Learn(const Route& route) {
  if (routes_.size() <= route.id) routes_.resize(route.id + 1);
  routes_[route.id] = &route;
}

}  // namespace weir::pool
