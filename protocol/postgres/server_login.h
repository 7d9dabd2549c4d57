// weir's way into a server: startup, proof, the server's report, its limits, init_query.
//
//   [SSLRequest -> TLS or not ->] startup -> proof -> report -> facts -> [init_query -> what it has
//   set] -> ready [-> facts or rows -> ready]
//
//   proof: SCRAM first -> keys -> SCRAM final | md5 | password in clear text | none (trust, or a
//   certificate of ours)
//
// A method that is not allowed, an AuthenticationOk without the proof that the method demands, and
// a wrong signature are failed logins. (PostgreSQL protocol 3.0, "Start-up"; RFC 5802.)
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/base/prng.h"
#include "protocol/auth/scram.h"
#include "protocol/dialect.h"

namespace weir::postgres {

class PostgresServerLogin final : public protocol::ServerLogin {
 public:
  PostgresServerLogin(Options options, engine::Entropy& entropy);
  ~PostgresServerLogin() override;

  void Start(std::string& out) override;
  [[nodiscard]] Next OnBytes(engine::Bytes in, std::string& out) override;
  void OnEncrypted(const protocol::TransportFacts& transport, std::string& out) override;
  const protocol::ScramKeyRequest& key_request() const override { return key_request_; }
  [[nodiscard]] Next OnKeys(const protocol::ScramKeys& keys, std::string& out) override;
  void AskFacts(std::string& out) override;
  void AskRows(std::string_view sql, protocol::RowSink& sink, std::string& out) override;
  bool rows_failed() const override { return rows_failed_; }

  const protocol::Parameters& parameters() const override { return parameters_; }
  const protocol::Parameters& initial() const override { return initial_; }
  uint32_t process_id() const override { return process_id_; }
  engine::Bytes secret() const override { return engine::AsBytes(secret_); }
  const Facts& facts() const override { return facts_; }
  protocol::LoginFailure failure() const override { return failure_; }
  std::string_view failure_text() const override { return failure_text_; }
  std::string_view server_error() const override { return server_error_; }

 private:
  enum class State : uint8_t {
    kStart,
    kTlsAsked,
    kTlsStarting,
    kAuthentication,
    kSaslContinue,
    kKeys,
    kSaslFinal,
    kAuthenticated,
    kReport,
    kFacts,
    kInitQuery,
    kInitial,
    kRows,
    kReady,
    kFailed
  };

  void SendStartup(std::string& out);
  Next OnTlsAnswer(engine::Bytes in, std::string& out);
  Next OnMessage(uint8_t type, std::string_view body, std::string& out);
  Next OnAuthentication(std::string_view body, std::string& out);
  Next OnOk();
  Next OnMd5(std::string_view salt, std::string& out);
  Next OnClearText(std::string& out);
  Next OnSasl(std::string_view mechanisms, std::string& out);
  Next Choose(bool plain_offered, bool plus_offered, std::string& out);
  Next OnReady(std::string& out);
  Next OnError(std::string_view body);
  Next Fail(protocol::LoginFailure failure, std::string text);
  void OnParameter(std::string_view body);
  void OnFactsRow(std::string_view body);
  bool AskInitial(std::string& out);
  void OnInitialRow(std::string_view body);

  Options options_;
  engine::Entropy& entropy_;
  State state_ = State::kStart;
  bool proven_ = false;  // the server has shown that it knows the password, or need not
  bool done_once_ = false;
  protocol::RowSink* rows_ = nullptr;  // of the answer to AskRows
  bool rows_failed_ = false;
  std::string partial_;
  std::optional<protocol::ScramClient> scram_;
  protocol::ScramKeyRequest key_request_;
  protocol::Parameters parameters_;
  protocol::Parameters initial_;
  uint32_t process_id_ = 0;
  std::string secret_;
  Facts facts_;
  bool may_read_settings_ = true;  // given to the role and the database
  bool facts_refused_ = false;     // it may not, and is to ask without
  std::string role_;               // its oid
  protocol::LoginFailure failure_ = protocol::LoginFailure::kNone;
  std::string failure_text_;
  std::string server_error_;
};

}  // namespace weir::postgres
