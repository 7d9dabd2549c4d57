// weir's request to cancel what a backend runs: [SSLRequest -> TLS or not ->] CancelRequest.
//
// (PostgreSQL protocol 3.0, "Canceling Requests in Progress".)
#pragma once

#include <cstdint>
#include <string>

#include "protocol/dialect.h"

namespace weir::postgres {

class PostgresServerCancel final : public protocol::ServerCancel {
 public:
  PostgresServerCancel(uint32_t process_id, engine::Bytes secret, protocol::TlsUse tls)
      : process_id_(process_id), secret_(engine::AsText(secret)), tls_(tls) {}

  [[nodiscard]] Next Start(std::string& out) override;
  [[nodiscard]] Next OnBytes(engine::Bytes in, std::string& out) override;
  [[nodiscard]] Next OnEncrypted(std::string& out) override { return Send(out); }

 private:
  Next Send(std::string& out);

  const uint32_t process_id_;
  const std::string secret_;
  const protocol::TlsUse tls_;
  bool asked_ = false;  // for TLS, and not yet answered
};

}  // namespace weir::postgres
