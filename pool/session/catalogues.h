// What is known of the databases' catalogues: read by any backend of a database when it is time, or
// after DDL, and then known to all shards.
//
// Catalogues is shared: who reads now, what has been read. Only one backend at a time reads that of
// a database, a question at a time; the reader waits here between the questions, for whichever
// shard comes next. A catalogue that has been read goes to every shard by message.
// ShardCatalogues is what one shard knows: its views, and clients that wait for what they have made
// by DDL to be known. Where nothing is known, only built-in functions are, and every session is
// asked behind every transaction.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/slab.h"
#include "engine/mailbox.h"
#include "engine/timer_wheel.h"
#include "pool/core/routes.h"
#include "protocol/dialect.h"

namespace weir::pool {

class BackendSession;
class ClientSession;
struct SessionServices;

using CatalogueSnapshot = std::shared_ptr<const protocol::Catalogue>;

// One database's. Lives as long as the program.
struct DatabaseCatalogue {
  std::string database;
  // When it is to be read; kForever while it is, or if only DDL is a reason to.
  std::atomic<engine::Nanos> due_at{0};
  // DDL has changed it, and what it is now is not known yet.
  std::atomic<bool> stale{false};
  // The last reading has failed: whatever there may be, runs unseen.
  std::atomic<bool> unknown{false};
  // Transactions that are about to change it, or have and have not said so.
  std::atomic<uint32_t> changing{0};

  // Under the table's mutex.
  std::unique_ptr<protocol::CatalogueReader> reader;  // between its questions
  bool reading = false;                               // somebody has the reader
  uint64_t wanted = 1;                                // readings that are to begin, in all
  uint64_t finished = 0;                              // the last that has ended
  uint64_t wanted_stale = 0;                          // ... the last of which somebody may wait for
  uint64_t began = 0;                                 // the last that has, by what was wanted then
  engine::Nanos given_up_until = 0;
  bool told = false;  // why it is not known
  CatalogueSnapshot current;
};

// While it lives, a transaction may be changing the database.
class DdlUnderWay {
 public:
  explicit DdlUnderWay(DatabaseCatalogue& entry) : entry_(entry) { entry_.changing.fetch_add(1); }
  ~DdlUnderWay() { entry_.changing.fetch_sub(1); }
  DdlUnderWay(const DdlUnderWay&) = delete;
  DdlUnderWay& operator=(const DdlUnderWay&) = delete;

 private:
  DatabaseCatalogue& entry_;
};

class Catalogues {
 public:
  DatabaseCatalogue& Of(std::string_view database);
  // What is known, and by which reading; 0: none has ended.
  std::pair<CatalogueSnapshot, uint64_t> Current(DatabaseCatalogue& entry);
  // nullptr: it is not time, or somebody reads. Else to be parked or finished.
  std::unique_ptr<protocol::CatalogueReader> Claim(DatabaseCatalogue& entry, engine::Nanos now,
                                                   protocol::Dialect& dialect);
  void Park(DatabaseCatalogue& entry, std::unique_ptr<protocol::CatalogueReader> reader,
            engine::Nanos now);
  // It is read to its end, or as far as it goes. `next`: why; with kRead, `made`. Returns the
  // number of the reading. `poll`: 0: never again but for DDL.
  uint64_t Finish(DatabaseCatalogue& entry, protocol::CatalogueReader::Next next,
                  std::unique_ptr<protocol::Catalogue> made, engine::Nanos now, engine::Nanos poll);
  // The database may have changed: it is read again, at once if it is `stale` until then.
  void Want(DatabaseCatalogue& entry, engine::Nanos now, bool stale);

 private:
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<DatabaseCatalogue>, std::less<>> entries_;
  uint64_t numbers_ = 0;
};

inline constexpr uint32_t kCatalogueMessage = 0x214;

// A reading has ended.
struct CatalogueBody final : engine::MessageBody {
  DatabaseCatalogue* entry = nullptr;
  uint64_t reading = 0;
  CatalogueSnapshot current;
};

class ShardCatalogues {
 public:
  ShardCatalogues(SessionServices& services, Catalogues& shared);
  ~ShardCatalogues();

  // Of one database, at a stable place.
  struct View {
    explicit View(DatabaseCatalogue& its) : entry(its) {}
    DatabaseCatalogue& entry;
    protocol::CatalogueView view;
    CatalogueSnapshot snapshot;
    uint64_t reading = 0;  // the last that this shard has heard of
  };
  // nullptr: backends of the route take no questions (replication).
  View* Of(SessionServices& services, RouteId route);

  // A question may be asked by this backend now: the reader, to be given back.
  std::unique_ptr<protocol::CatalogueReader> Claim(SessionServices& services, View& view);
  void Park(SessionServices& services, View& view,
            std::unique_ptr<protocol::CatalogueReader> reader);
  // The last question is answered (`next` is not kAsk). With kRead the catalogue is made off the
  // shard; the backend hears of it, if it is given.
  void End(SessionServices& services, View& view, protocol::CatalogueReader::Next next,
           std::unique_ptr<protocol::CatalogueReader> reader,
           engine::Handle<BackendSession> backend);

  // By which reading texts of the route are judged now; 0: what the database has may be something
  // else. A transaction during which this was 0, or became another, has perhaps run code that was
  // not seen.
  uint64_t Reading(SessionServices& services, RouteId route);
  // It could not be read: then Reading is 0 until it can.
  bool Unknown(SessionServices& services, RouteId route);
  // A transaction has begun to change the database; nullptr: of the route that is not looked at.
  std::unique_ptr<DdlUnderWay> BeginDdl(SessionServices& services, RouteId route);
  // A transaction has changed the database. `stale`: nobody runs by what is known so far.
  void OnDdl(SessionServices& services, RouteId route, bool stale);
  // A client that is about to borrow has to wait until it is known what DDL has made, for a short
  // time at most: it hears of it.
  bool Holds(SessionServices& services, ClientSession& client, RouteId route);
  void OnMessage(SessionServices& services, const CatalogueBody& body);

 private:
  friend class MakeCatalogueJob;
  struct Waiting {
    engine::Handle<ClientSession> client;
    View* view = nullptr;
    engine::Nanos until = 0;
  };

  void Tell(SessionServices& services, View& view, protocol::CatalogueReader::Next next,
            std::unique_ptr<protocol::Catalogue> made);
  static void Learn(View& view, const CatalogueBody& body);
  template <class Condition>
  void Release(Condition&& ready);
  void OnTimer();

  SessionServices& services_;
  Catalogues& shared_;
  std::map<std::string, std::unique_ptr<View>, std::less<>> views_;
  std::vector<View*> by_route_;
  std::vector<bool> known_routes_;
  std::vector<Waiting> waiting_;
  engine::Timer timer_;  // of who waits longest
};

}  // namespace weir::pool
