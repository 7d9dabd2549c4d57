// What TLS is made from on both sides, of one configuration. Immutable; replaced at a reload.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/prng.h"
#include "engine/stream.h"
#include "engine/tls.h"
#include "pool/config/config.h"
#include "protocol/dialect.h"

namespace weir::pool {

struct TlsContexts {
  struct Target {
    protocol::TlsUse use = protocol::TlsUse::kNever;
    std::unique_ptr<const engine::TlsClient> context;  // nullptr: kNever
  };

  // Reads certificates, keys and authorities. Errors name the file; warnings go to the log.
  static absl::StatusOr<std::unique_ptr<const TlsContexts>> Load(const Config& config,
                                                                 engine::Entropy& entropy);

  std::unique_ptr<const engine::TlsServer> clients;  // nullptr: clients are offered no TLS
  std::vector<Target> targets;
};

// What a login is to know of its connection.
protocol::TransportFacts TransportOf(const engine::Stream& stream);

}  // namespace weir::pool
