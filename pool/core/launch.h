// How the pool opens, closes and moves backends: a seam, scripted in tests.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/mailbox.h"
#include "pool/core/backend.h"

namespace weir::pool {

// Why a backend could not be opened.
struct LaunchFailure {
  enum class Kind : uint8_t {
    kUnreachable,  // no connection
    kTimeout,
    kStarting,            // the server is there, not ready (57P03)
    kTooManyConnections,  // 53300
    kRouteFull,           // 53300, but only for this role or this database
    kAuthentication,      // it does not accept our credentials
    kNoSecret,            // there is nothing yet to log in with: it was not asked
    kOtherSecret,         // ... and there are others, which are worth a try at once
    kDatabase,            // it does not accept this route, others perhaps
    kOther,
  };
  Kind kind = Kind::kOther;
  std::string text;
  std::vector<uint8_t> server_error;  // its ErrorResponse, whole; may be empty
};

struct ServerFacts {
  uint32_t max_connections = 0;
  uint32_t superuser_reserved_connections = 0;
  uint32_t reserved_connections = 0;
  uint64_t generation = 0;  // as Backend::generation, of sessions that begin now
};

// None of these answers synchronously.
class BackendDriver {
 public:
  virtual Backend& Open(RouteId route, TargetId target) = 0;  // -> Pool::OnOpened or OnOpenFailed
  // -> Pool::OnClosed when the server has closed its side, or after 5 s.
  virtual void Close(Backend& backend) = 0;
  virtual void Detach(Backend& backend) = 0;  // -> Pool::OnDetached or OnLost
  // Its expires_at comes along; 0: it has ended on the way.
  virtual Backend& Attach(RouteId route, TargetId target,
                          std::unique_ptr<engine::MessageBody> body) = 0;
  // -> Pool::OnFacts or OnLost. False: not now, and nothing comes of it.
  virtual bool AskFacts(Backend& backend) = 0;
  // Asks an idle one what is to be known of its database. -> Pool::OnAnswered or OnLost. False:
  // nothing is, or not now.
  virtual bool AskCatalogue(Backend& backend) = 0;

 protected:
  ~BackendDriver() = default;
};

}  // namespace weir::pool
