#include "pool/session/bases.h"

#include <utility>

#include "engine/base/check.h"

namespace weir::pool {
namespace {

size_t BytesOf(const protocol::Parameters& parameters) {
  size_t bytes = 0;
  for (const auto& [name, value] : parameters)
    bytes += 2 * sizeof(std::string) + name.size() + value.size();
  return bytes;
}

}  // namespace

std::string Bases::KeyOf(RouteId route, std::string_view base) {
  return engine::Cat(route, ":", base);
}

const ProvenBase* Bases::Find(RouteId route, std::string_view base,
                              const Greetings::Greeting& now) {
  const auto found = by_key_.find(KeyOf(route, base));
  if (found == by_key_.end()) return nullptr;
  if (found->second->proven.began_with != now) {
    Remove(found->second);
    return nullptr;
  }
  entries_.splice(entries_.begin(), entries_, found->second);
  return &found->second->proven;
}

void Bases::Store(RouteId route, std::string_view base, ProvenBase proven) {
  std::string key = KeyOf(route, base);
  if (const auto found = by_key_.find(key); found != by_key_.end()) Remove(found->second);
  const size_t bytes = sizeof(Entry) + 2 * key.size() + BytesOf(proven.values) +
                       BytesOf(proven.greeting) + BytesOf(proven.only_at_start);
  entries_.push_front({key, std::move(proven), bytes});
  by_key_.emplace(std::move(key), entries_.begin());
  bytes_ += bytes;
  while (entries_.size() > 1 && (entries_.size() > kBasesMax || bytes_ > kBytesMax))
    Remove(std::prev(entries_.end()));
  CHECK(by_key_.size() == entries_.size());
}

void Bases::Remove(Entries::iterator entry) {
  CHECK(bytes_ >= entry->bytes);
  bytes_ -= entry->bytes;
  by_key_.erase(by_key_.find(entry->key));
  entries_.erase(entry);
}

}  // namespace weir::pool
