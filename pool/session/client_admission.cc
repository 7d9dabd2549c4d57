// Whether a client that has named itself, or proven who it is, may stay: the rules of access, the
// limits of its user.
#include <cstdint>
#include <string>

#include "engine/base/text.h"
#include "pool/session/client_counts.h"
#include "pool/session/client_session.h"
#include "pool/session/session_log.h"

namespace weir::pool {

using engine::Cat;

namespace {

// Of the startup packet: a replication connection that names no database.
bool IsPhysicalReplication(const protocol::ClientIdentity& identity) {
  if (!identity.replication) return false;
  for (const auto& [name, value] : identity.parameters) {
    if (name == "replication" && value == "database") return false;
  }
  return true;
}

bool Fits(AccessMethod method, protocol::ClientMethod proof) {
  switch (method) {
    case AccessMethod::kPassword:
      return proof == protocol::ClientMethod::kScram || proof == protocol::ClientMethod::kMd5;
    case AccessMethod::kScram:
      return proof == protocol::ClientMethod::kScram;
    case AccessMethod::kTrust:
      return proof == protocol::ClientMethod::kTrust;
    case AccessMethod::kIam:
      return proof == protocol::ClientMethod::kIam;
    case AccessMethod::kCertificate:
      return proof == protocol::ClientMethod::kCertificate;
    case AccessMethod::kReject:
      return false;
  }
  return false;
}

}  // namespace

// The rule that decides on this client; nullptr: it is refused, and that is told.
const AccessRule* ClientSession::AdmittingRule() {
  const protocol::ClientIdentity& identity = arrival_->login->identity();
  const std::string host = services_.shard.io().PeerHost(stream_.fd());
  const AccessRule* rule = services_.config->access_rules.Decide(
      {.host = host,
       .user = identity.user,
       .database = identity.database,
       .encrypted = encrypted(),
       .physical_replication = IsPhysicalReplication(identity)});
  if (rule != nullptr && rule->method != AccessMethod::kReject) return rule;
  // The same for all users, known or not.
  const std::string who = Cat("host \"", host == "unix" ? "[local]" : host, "\", user \"",
                              identity.user, "\", database \"", identity.database, "\", ",
                              encrypted() ? "encrypted" : "no encryption");
  services_.metrics.Add(Counter::kClientConnectionsSetupFailedAuth);
  LogLoginFailure(services_, number(), endpoint_, identity.user,
                  rule == nullptr ? Cat("no rule of access admits ", engine::Visible(who))
                                  : Cat(rule->place, " rejects ", engine::Visible(who)));
  Kill({"28000", Cat("the proxy's rules of access do not admit ", who)});
  return nullptr;
}

// True: the rules want another proof of this user than its [[auth]] does. Then it is nobody that
// weir knows, and the log says why.
bool ClientSession::WantsAnotherMethod(const AccessRule& rule, const protocol::ClientUser& user) {
  if (!user.known || Fits(rule.method, user.method)) return false;
  arrival_->why_unknown = Cat(rule.place, " wants the method ", AccessMethodText(rule.method),
                              ", and the user's [[auth]] has another");
  return true;
}

// The user's own limits, when it has proven who it is: nobody else can use them up. False: it is
// one too many, and is told.
bool ClientSession::CountIn() {
  const std::string& user = arrival_->login->identity().user;
  const AuthOptions* auth = services_.config->AuthOf(user);
  if (auth == nullptr) return true;  // its [[auth]] has gone meanwhile
  ClientCount& count = services_.client_counts->Of(user);
  std::string refusal;
  const auto rate = static_cast<uint64_t>(auth->client_connection_rate);
  const auto most = static_cast<uint64_t>(auth->max_client_connections);
  if (!count.TakeTurn(rate, services_.shard.now())) {
    refusal = Cat("Rate of connection to proxy exceeded ", rate, ".");
  } else if (!count.Enter(most)) {
    refusal = Cat("The maximum number of client connections to the proxy exceeded ", most, ".");
  } else {
    counted_ = &count;
    return true;
  }
  services_.metrics.Add(Counter::kClientsRefused);
  LogLoginFailure(services_, number(), endpoint_, user, Cat(refusal, " (of this user)"));
  Kill({"53300", refusal});
  return false;
}

}  // namespace weir::pool
