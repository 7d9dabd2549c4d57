// PostgreSQL as pool/ sees it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/base/prng.h"
#include "protocol/dialect.h"
#include "protocol/postgres/pins.h"
#include "protocol/postgres/requests.h"

namespace weir::postgres {

class PostgresDialect final : public protocol::Dialect {
 public:
  // `table` is shared by all shards. `shard` keeps the tags of unnamed statements apart.
  PostgresDialect(StatementTable& table, engine::Entropy& entropy, uint32_t shard);

  std::unique_ptr<protocol::ClientLogin> NewClientLogin(bool offers_tls) override;
  std::unique_ptr<protocol::ServerLogin> NewServerLogin(
      protocol::ServerLogin::Options options) override;
  std::unique_ptr<protocol::Requests> NewRequests() override;
  std::unique_ptr<protocol::Replies> NewReplies(const protocol::Parameters& greeting,
                                                const protocol::Parameters& initial) override;
  protocol::StartupSettings SplitStartup(const protocol::ClientIdentity& identity) override;
  std::unique_ptr<protocol::BaseProof> NewBaseProof(protocol::Parameters base) override;
  std::unique_ptr<protocol::CatalogueReader> NewCatalogueReader(
      const protocol::Catalogue* known) override;
  void Adopt(protocol::Replies& replies) override;
  void Configure(const protocol::ExchangeOptions& options) override { context_.options = options; }
  void EncodeGreeting(const protocol::Parameters& greeting, protocol::CancelKey key,
                      std::string& out) override;
  std::string EncodeNotice(std::string_view message) override;
  std::string EncodeError(bool fatal, std::string_view sqlstate, std::string_view message) override;
  std::string ReencodeError(std::string_view message, bool fatal) override;
  std::string_view ErrorText(std::string_view message) override;
  std::unique_ptr<protocol::ServerCancel> NewServerCancel(uint32_t process_id, engine::Bytes secret,
                                                          protocol::TlsUse tls) override;
  std::string_view Terminate() override;
  std::string_view DiscardStatement() override { return "DISCARD ALL"; }
  std::string_view RollbackStatement() override { return "ROLLBACK"; }
  std::span<const std::string_view> PinNames() override { return postgres::PinNames(); }
  protocol::PinWords Pin(uint8_t reason) override;
  uint8_t ReplicationPin() override;
  uint8_t SequencePin() override;

 private:
  RequestsContext context_;
  engine::Entropy& entropy_;
};

}  // namespace weir::postgres
