#include "pool/session/catalogues.h"

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/log.h"
#include "engine/base/text.h"
#include "pool/session/backend_session.h"
#include "pool/session/client_session.h"
#include "pool/session/services.h"
#include "pool/session/startup_parameters.h"

namespace weir::pool {

using engine::Nanos;
using Next = protocol::CatalogueReader::Next;
using Reader = std::unique_ptr<protocol::CatalogueReader>;

namespace {

// A database that is too large, or whose login may not ask, is tried again after this time.
constexpr Nanos kAgain = 600 * engine::kSecond;
// A client waits no longer than this for DDL to be known.
constexpr Nanos kDdlWait = 250 * engine::kMillisecond;
// DDL that nobody waits for (temporary objects, mostly) is put together.
constexpr Nanos kDdlDelay = 200 * engine::kMillisecond;

}  // namespace

DatabaseCatalogue& Catalogues::Of(std::string_view database) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(database);
  if (found != entries_.end()) return *found->second;
  auto entry = std::make_unique<DatabaseCatalogue>();
  entry->database = std::string(database);
  return *entries_.emplace(database, std::move(entry)).first->second;
}

std::pair<CatalogueSnapshot, uint64_t> Catalogues::Current(DatabaseCatalogue& entry) {
  std::lock_guard lock(mutex_);
  return {entry.current, entry.finished};
}

Reader Catalogues::Claim(DatabaseCatalogue& entry, Nanos now, protocol::Dialect& dialect) {
  std::lock_guard lock(mutex_);
  if (entry.reading || now < entry.due_at.load(std::memory_order_relaxed)) return nullptr;
  entry.reading = true;
  entry.due_at.store(engine::kForever, std::memory_order_relaxed);
  if (entry.reader != nullptr) return std::move(entry.reader);
  entry.began = entry.wanted;
  return dialect.NewCatalogueReader(entry.current.get());
}

void Catalogues::Park(DatabaseCatalogue& entry, Reader reader, Nanos now) {
  std::lock_guard lock(mutex_);
  CHECK(entry.reading && entry.reader == nullptr);
  entry.reader = std::move(reader);
  entry.reading = false;
  entry.due_at.store(now, std::memory_order_relaxed);
}

uint64_t Catalogues::Finish(DatabaseCatalogue& entry, Next next,
                            std::unique_ptr<protocol::Catalogue> made, Nanos now, Nanos poll) {
  std::lock_guard lock(mutex_);
  CHECK(entry.reading && (next == Next::kRead) == (made != nullptr));
  entry.reading = false;
  entry.finished = entry.began;
  Nanos again = entry.wanted > entry.began ? now : engine::kForever;
  if (poll > 0) again = std::min(again, now + poll);
  const bool known = next == Next::kRead || next == Next::kSame;
  if (made != nullptr) {
    made->number = ++numbers_;
    entry.current = std::move(made);
  } else if (!known) {
    // Better an old one than none, if it is only that nobody has answered.
    if (next == Next::kTooMuch) entry.current.reset();
    again = entry.given_up_until = now + kAgain;
  }
  entry.due_at.store(again, std::memory_order_relaxed);
  entry.stale.store(known && entry.wanted_stale > entry.began);
  entry.unknown.store(!known);
  if (known) {
    entry.told = false;
  } else if (!std::exchange(entry.told, true)) {
    engine::Log(
        engine::LogLevel::kWarn,
        engine::Cat("event=catalogue_unknown database=", engine::Visible(entry.database), ": ",
                    std::string_view(next == Next::kTooMuch
                                         ? "it has more functions than are looked at"
                                         : "its functions and triggers could not be asked for"),
                    ": calls of functions that are not built in pin clients, and behind every "
                    "transaction the session is asked what it has set; tried again in ",
                    kAgain / engine::kSecond, " s"));
  }
  return entry.began;
}

void Catalogues::Want(DatabaseCatalogue& entry, Nanos now, bool stale) {
  std::lock_guard lock(mutex_);
  if (now < entry.given_up_until) return;
  ++entry.wanted;
  if (stale) {
    entry.wanted_stale = entry.wanted;
    entry.stale.store(true);
  }
  const Nanos when = stale ? now : now + kDdlDelay;
  // Who reads now, reads again.
  if (!entry.reading && when < entry.due_at.load(std::memory_order_relaxed))
    entry.due_at.store(when, std::memory_order_relaxed);
}

// Thousands of functions take their time.
class MakeCatalogueJob final : public engine::Job {
 public:
  MakeCatalogueJob(SessionServices& services, ShardCatalogues& owner, ShardCatalogues::View& view,
                   Reader reader, engine::Handle<BackendSession> backend)
      : services_(services),
        owner_(owner),
        view_(view),
        reader_(std::move(reader)),
        backend_(backend) {}

  void Run() override { made_ = reader_->Make(); }
  void Done() override {
    owner_.Tell(services_, view_, Next::kRead, std::move(made_));
    BackendSession* backend = services_.backends.Find(backend_);
    if (backend != nullptr) backend->OnCatalogueKnown();
  }

 private:
  SessionServices& services_;
  ShardCatalogues& owner_;
  ShardCatalogues::View& view_;
  Reader reader_;
  const engine::Handle<BackendSession> backend_;
  std::unique_ptr<protocol::Catalogue> made_;
};

ShardCatalogues::View* ShardCatalogues::Of(SessionServices& services, RouteId route) {
  if (by_route_.size() <= route) {
    by_route_.resize(route + 1);
    known_routes_.resize(route + 1);
  }
  if (known_routes_[route]) return by_route_[route];
  known_routes_[route] = true;
  const RouteKey& key = services.routes.Get(route).key;
  for (const auto& [name, value] : FromCanonical(key.parameters)) {
    if (name == "replication") return nullptr;
  }
  std::unique_ptr<View>& view = views_[key.database];
  if (view == nullptr) {
    view = std::make_unique<View>(shared_.Of(key.database));
    std::tie(view->snapshot, view->reading) = shared_.Current(view->entry);
    view->view.now = view->snapshot.get();
  }
  by_route_[route] = view.get();
  return view.get();
}

Reader ShardCatalogues::Claim(SessionServices& services, View& view) {
  const Nanos now = services.shard.now();
  if (now < view.entry.due_at.load(std::memory_order_relaxed)) return nullptr;
  return shared_.Claim(view.entry, now, services.dialect);
}

void ShardCatalogues::Park(SessionServices& services, View& view, Reader reader) {
  shared_.Park(view.entry, std::move(reader), services.shard.now());
}

void ShardCatalogues::End(SessionServices& services, View& view, Next next, Reader reader,
                          engine::Handle<BackendSession> backend) {
  if (next != Next::kRead) {
    Tell(services, view, next, nullptr);
    return;
  }
  services.shard.worker().Submit(
      services.shard.id(),
      std::make_unique<MakeCatalogueJob>(services, *this, view, std::move(reader), backend));
}

void ShardCatalogues::Tell(SessionServices& services, View& view, Next next,
                           std::unique_ptr<protocol::Catalogue> made) {
  const uint64_t reading = shared_.Finish(view.entry, next, std::move(made), services.shard.now(),
                                          services.config->connection_pool.catalogue_poll);
  for (uint32_t shard = 0; shard < services.shard.count(); ++shard) {
    auto body = std::make_unique<CatalogueBody>();
    body->entry = &view.entry;
    body->reading = reading;
    body->current = shared_.Current(view.entry).first;
    // Clients of this one that wait hear of it by message, too: not in the middle of something.
    if (shard == services.shard.id()) Learn(view, *body);
    engine::Message message;
    message.kind = kCatalogueMessage;
    message.body = std::move(body);
    services.shard.Post(shard, std::move(message));
  }
}

void ShardCatalogues::Learn(View& view, const CatalogueBody& body) {
  // Of two that end on different shards the earlier one may be heard of last.
  if (body.reading < view.reading) return;
  view.reading = body.reading;
  view.snapshot = body.current;
  view.view.now = view.snapshot.get();
}

void ShardCatalogues::OnMessage(SessionServices& services, const CatalogueBody& body) {
  const auto found = views_.find(body.entry->database);
  if (found == views_.end()) return;
  View& view = *found->second;
  Learn(view, body);
  if (view.entry.stale.load()) return;
  Release([&view](const Waiting& each) { return each.view == &view; });
}

uint64_t ShardCatalogues::Reading(SessionServices& services, RouteId route) {
  const View* view = Of(services, route);
  if (view == nullptr) return UINT64_MAX;
  const DatabaseCatalogue& entry = view->entry;
  const bool unsure = entry.changing.load(std::memory_order_relaxed) > 0 ||
                      entry.stale.load(std::memory_order_relaxed) ||
                      entry.unknown.load(std::memory_order_relaxed);
  return unsure ? 0 : view->reading;
}

bool ShardCatalogues::Unknown(SessionServices& services, RouteId route) {
  const View* view = Of(services, route);
  return view != nullptr && view->entry.unknown.load(std::memory_order_relaxed);
}

std::unique_ptr<DdlUnderWay> ShardCatalogues::BeginDdl(SessionServices& services, RouteId route) {
  View* view = Of(services, route);
  return view == nullptr ? nullptr : std::make_unique<DdlUnderWay>(view->entry);
}

void ShardCatalogues::OnDdl(SessionServices& services, RouteId route, bool stale) {
  View* view = Of(services, route);
  if (view != nullptr) shared_.Want(view->entry, services.shard.now(), stale);
}

bool ShardCatalogues::Holds(SessionServices& services, ClientSession& client, RouteId route) {
  View* view = Of(services, route);
  if (view == nullptr || !view->entry.stale.load(std::memory_order_acquire)) return false;
  const Nanos until = services.shard.now() + kDdlWait;
  if (waiting_.empty()) services.shard.timers().Arm(timer_, until);
  waiting_.push_back({services.clients.HandleOf(client), view, until});
  return true;
}

ShardCatalogues::ShardCatalogues(SessionServices& services, Catalogues& shared)
    : services_(services), shared_(shared) {
  timer_.Bind(engine::Callback::To<&ShardCatalogues::OnTimer>(*this));
}

ShardCatalogues::~ShardCatalogues() { services_.shard.timers().Cancel(timer_); }

template <class Condition>
void ShardCatalogues::Release(Condition&& ready) {
  std::vector<Waiting> released;
  std::erase_if(waiting_, [&](const Waiting& each) {
    if (!ready(each)) return false;
    released.push_back(each);
    return true;
  });
  for (const Waiting& each : released) {
    ClientSession* client = services_.clients.Find(each.client);
    if (client != nullptr) client->OnCatalogueKnown();
  }
}

void ShardCatalogues::OnTimer() {
  const Nanos now = services_.shard.now();
  Release([now](const Waiting& each) { return now >= each.until; });
  if (!waiting_.empty()) services_.shard.timers().Arm(timer_, waiting_.front().until);
}

}  // namespace weir::pool
