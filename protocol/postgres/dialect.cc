#include "protocol/postgres/dialect.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "protocol/postgres/base_proof.h"
#include "protocol/postgres/base_settings.h"
#include "protocol/postgres/catalogue_reader.h"
#include "protocol/postgres/client_login.h"
#include "protocol/postgres/encode.h"
#include "protocol/postgres/format.h"
#include "protocol/postgres/pins.h"
#include "protocol/postgres/server_cancel.h"
#include "protocol/postgres/server_login.h"
#include "protocol/wire/writer.h"

namespace weir::postgres {

using protocol::Writer;

PostgresDialect::PostgresDialect(StatementTable& table, engine::Entropy& entropy, uint32_t shard)
    : context_(table), entropy_(entropy) {
  context_.unnamed_tags = context_.sequence_marks = uint64_t{shard} << 48;
}

std::unique_ptr<protocol::ClientLogin> PostgresDialect::NewClientLogin(bool offers_tls) {
  return std::make_unique<PostgresClientLogin>(entropy_, offers_tls);
}

std::unique_ptr<protocol::ServerLogin> PostgresDialect::NewServerLogin(
    protocol::ServerLogin::Options options) {
  return std::make_unique<PostgresServerLogin>(std::move(options), entropy_);
}

std::unique_ptr<protocol::Requests> PostgresDialect::NewRequests() {
  return std::make_unique<PostgresRequests>(context_);
}

std::unique_ptr<protocol::Replies> PostgresDialect::NewReplies(
    const protocol::Parameters& greeting, const protocol::Parameters& initial) {
  auto replies = std::make_unique<PostgresReplies>();
  for (const auto& [name, value] : greeting) replies->set_parameter(name, value);
  Settings settings;
  for (const auto& [name, value] : initial) settings.push_back({name, value});
  replies->set_initial(std::move(settings));
  return replies;
}

protocol::StartupSettings PostgresDialect::SplitStartup(const protocol::ClientIdentity& identity) {
  return postgres::SplitStartup(identity);
}

std::unique_ptr<protocol::CatalogueReader> PostgresDialect::NewCatalogueReader(
    const protocol::Catalogue* known) {
  return std::make_unique<PostgresCatalogueReader>(
      known == nullptr ? std::string() : static_cast<const Catalogue*>(known)->fingerprint());
}

std::unique_ptr<protocol::BaseProof> PostgresDialect::NewBaseProof(protocol::Parameters base) {
  return std::make_unique<PostgresBaseProof>(context_.profiles, std::move(base));
}

void PostgresDialect::Adopt(protocol::Replies& replies) {
  static_cast<PostgresReplies&>(replies).Arrive(context_.profiles);
}

void PostgresDialect::EncodeGreeting(const protocol::Parameters& greeting, protocol::CancelKey key,
                                     std::string& out) {
  for (const auto& [name, value] : greeting) AppendParameterStatus(out, name, value);
  Writer writer(out);
  writer.Begin(backend::kBackendKeyData).U32(key.process_id).U32(key.secret);
  writer.End();
  writer.Begin(backend::kReadyForQuery).U8('I');
  writer.End();
}

std::string PostgresDialect::EncodeNotice(std::string_view message) {
  std::string notice = postgres::EncodeError("NOTICE", "00000", message);
  notice[0] = static_cast<char>(backend::kNoticeResponse);
  return notice;
}

std::string PostgresDialect::EncodeError(bool fatal, std::string_view sqlstate,
                                         std::string_view message) {
  return postgres::EncodeError(fatal ? "FATAL" : "ERROR", sqlstate, message);
}

std::string PostgresDialect::ReencodeError(std::string_view message, bool fatal) {
  return WithSeverity(message, fatal ? "FATAL" : "ERROR");
}

std::string_view PostgresDialect::ErrorText(std::string_view message) {
  return message.size() <= 5 ? std::string_view() : ErrorField(message.substr(5), 'M');
}

std::unique_ptr<protocol::ServerCancel> PostgresDialect::NewServerCancel(uint32_t process_id,
                                                                         engine::Bytes secret,
                                                                         protocol::TlsUse tls) {
  return std::make_unique<PostgresServerCancel>(process_id, secret, tls);
}

std::string_view PostgresDialect::Terminate() { return std::string_view("X\0\0\0\4", 5); }

protocol::PinWords PostgresDialect::Pin(uint8_t reason) {
  const PinWords& words = WordsOf(static_cast<PinReason>(reason));
  return {words.name, words.reason, words.ends_by};
}

uint8_t PostgresDialect::ReplicationPin() { return static_cast<uint8_t>(PinReason::kReplication); }
uint8_t PostgresDialect::SequencePin() { return static_cast<uint8_t>(PinReason::kSequence); }

}  // namespace weir::postgres
