// Routes: what cannot be changed on a live backend. Clients of one route share backends.
//
// Ids are dense and process-wide, given under a mutex when a shard sees a key for the first time;
// every shard caches them. A route lives as long as the program.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/text.h"

namespace weir::pool {

using RouteId = uint32_t;  // 0: none
using TargetId = uint32_t;

enum class TargetRole : uint8_t { kReadWrite, kReadOnly };

struct RouteKey {
  TargetRole role = TargetRole::kReadWrite;
  std::string database;
  std::string user;
  std::string parameters;  // the startup settings, in one canonical text

  std::string Text() const;
};

struct Route {
  RouteId id = 0;
  RouteKey key;
  // A backend of it has logged in, on whatever shard.
  mutable std::atomic<bool> proven{false};
  // What the newest of its sessions has begun with (Backend::generation); 0: not known.
  mutable std::atomic<uint64_t> generation{0};
  mutable std::atomic<int64_t> generation_at{0};  // when that was asked last
  // currval or lastval was seen on it: from then on a client that makes sequence values keeps its
  // backend for one more transaction.
  mutable std::atomic<bool> sequences_are_read{false};
};

class RouteTable {
 public:
  // More routes than this are refused.
  static constexpr size_t kRoutesMax = 65536;

  absl::StatusOr<const Route*> Intern(const RouteKey& key);
  const Route& ById(RouteId id);

 private:
  std::mutex mutex_;
  std::deque<Route> routes_;
  engine::TextMap<const Route*> by_text_;
};

// One shard's view.
class RouteCache {
 public:
  explicit RouteCache(RouteTable& table) : table_(table) {}
  absl::StatusOr<RouteId> Intern(const RouteKey& key);
  // Of any id that was ever given; one that this shard has not met is looked up in the table.
  const Route& Get(RouteId id);

 private:
  void Learn(const Route& route);

  RouteTable& table_;
  engine::TextMap<const Route*> by_text_;
  std::vector<const Route*> routes_;
};

}  // namespace weir::pool
