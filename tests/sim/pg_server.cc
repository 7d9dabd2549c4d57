#include "tests/sim/pg_server.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "engine/base/bytes.h"
#include "engine/base/check.h"

namespace weir::sim {
namespace {

constexpr uint32_t kCancelCode = 80877102;
constexpr uint32_t kSslRequestCode = 80877103;

// PBKDF2 takes milliseconds: once for all runs of the process.
const protocol::ScramVerifier& Verifier() {
  static const protocol::ScramVerifier verifier = [] {
    protocol::ScramVerifier made;
    made.salt = "0123456789abcdef";
    const protocol::ScramKeys keys =
        protocol::DeriveScramKeys(PgServer::kPassword, made.salt, made.iterations);
    made.stored_key = keys.stored_key;
    made.server_key = keys.server_key;
    return made;
  }();
  return verifier;
}

}  // namespace

class PgServer::Connection final : public Party {
 public:
  Connection(PgServer& server, End& end, uint32_t process_id)
      : server_(server), end_(end), session_(&server.database_), process_id_(process_id) {}

  void OnChange(End&) override { Turn(); }
  bool open() const { return open_; }
  bool logged_in() const { return phase_ == Phase::kServing; }
  bool holds_place() const { return holds_place_; }
  uint32_t process_id() const { return process_id_; }
  uint32_t secret() const { return secret_; }

  std::string Situation() const {
    return "server " + Number(process_id_) + ": input " +
           Number(static_cast<int64_t>(input_.size() + end_.inbox.size())) + " output " +
           Number(static_cast<int64_t>(output_.size() + wire_.size())) + " room " +
           Number(server_.net_.Room(end_)) + (current_.has_value() ? " at work" : "") + "\n";
  }

  void Cancel() {
    if (!sleeping_) return;
    cancelled_ = true;
    busy_until_ = server_.net_.now();
    Plan(busy_until_);
  }

  // A FATAL to the client, or not a word.
  void Die(bool with_words) {
    if (!open_) return;
    if (with_words && phase_ == Phase::kServing) {
      output_ += Encode(
          ErrorMessage("FATAL", "57P01", "terminating connection due to administrator command"));
      Flush();
      Leave(false);
    } else {
      Leave(true);
    }
  }

 private:
  enum class Phase : uint8_t { kStartup, kScramFirst, kScramFinal, kServing };

  void Note(const char* what, const PgMessage& message) {
    server_.net_.Note("server " + Number(process_id_) + " " + what + " " + Readable(message, 60));
  }

  void Plan(Nanos when) {
    server_.net_.At(when, [this] { Turn(); });
  }

  void Leave(bool reset) {
    if (!open_) return;
    open_ = false;
    sleeping_ = false;
    if (holds_place_) --server_.open_;
    holds_place_ = false;
    if (reset) {
      server_.net_.Reset(end_);
    } else {
      server_.net_.Close(end_);
    }
  }

  void Flush() {
    if (!tls_.has_value()) {
      wire_ += std::exchange(output_, {});
    } else if (tls_->ready()) {
      tls_->Seal(std::exchange(output_, {}), wire_);
    }
    while (!wire_.empty()) {
      const uint32_t written = server_.net_.Write(end_, wire_);
      if (written == 0) return;
      wire_.erase(0, written);
    }
  }

  void Receive() {
    const std::string received = server_.net_.Read(end_, SIZE_MAX);
    if (!tls_.has_value()) {
      input_ += received;
      return;
    }
    input_ += tls_->Open(received, wire_);
    CHECK(tls_->error().empty());
    if (!wire_.empty()) Flush();
  }

  // The answer leaves in the clear.
  void OnSslRequest() {
    input_.erase(0, 8);
    CHECK(input_.empty() && !tls_.has_value());
    output_ += server_.options_.tls ? "S" : "N";
    Flush();
    if (server_.options_.tls) tls_.emplace(SimTls::Side::kServer);
  }

  // Goes on as far as it can.
  void Turn() {
    if (!open_) return;
    if (end_.reset) {
      Leave(false);
      return;
    }
    if (server_.hangs_until_ > server_.net_.now()) {
      Plan(server_.hangs_until_);
      return;
    }
    Flush();
    if (!wire_.empty() || busy_until_ > server_.net_.now()) return;
    Receive();
    if (phase_ == Phase::kStartup) {
      OnStartup();
      if (open_ && !end_.inbox.empty()) Plan(server_.net_.now());
      return;
    }
    while (open_ && busy_until_ <= server_.net_.now() && output_.size() < 16384) {
      if (!current_.has_value()) {
        PgMessage message;
        if (!Decode(input_, message)) break;
        current_ = std::move(message);
        Begin();
        continue;
      }
      Finish();
    }
    if (!open_) return;
    Flush();
    if (!current_.has_value() && !end_.inbox.empty()) {
      Plan(server_.net_.now());
    } else if (end_.fin && end_.inbox.empty() && !current_.has_value() && output_.empty() &&
               wire_.empty()) {
      Leave(false);
    }
  }

  // A message takes its time before it is answered.
  void Begin() {
    Nanos cost = server_.net_.Between(0, server_.options_.cost_max);
    if (phase_ == Phase::kServing) {
      const double sleeps = session_.SleepOf(*current_);
      sleeping_ = sleeps > 0;
      cancelled_ = false;
      cost += static_cast<Nanos>(sleeps * static_cast<double>(engine::kSecond));
    }
    busy_until_ = server_.net_.now() + cost;
    Plan(busy_until_);
  }

  void Finish() {
    const PgMessage message = *std::exchange(current_, {});
    sleeping_ = false;
    if (message.type == 'X') {
      Leave(false);
      return;
    }
    if (phase_ != Phase::kServing) {
      OnPassword(message);
      return;
    }
    std::vector<PgMessage> replies;
    Note("took", message);
    session_.Take(message, cancelled_, replies);
    cancelled_ = false;
    bool ends = message.type == 'H';
    for (const PgMessage& reply : replies) {
      if (reply.type == 'Z') Report();
      if (server_.net_.Chance(server_.options_.notice) && !session_.copying()) {
        output_ += Encode({'N', std::string("SNOTICE\0C00000\0Mwords\0\0", 23)});
      }
      output_ += Encode(reply);
      Note("answers", reply);
      ends = ends || reply.type == 'Z' || reply.type == 'G' || reply.type == 'E';
    }
    if (ends || server_.net_.Chance(server_.options_.early_flush)) Flush();
  }

  // What has changed of the settings that are reported.
  void Report() {
    if (session_.Shown("base") == reported_base_) return;
    reported_base_ = session_.Shown("base");
    output_ += Encode({'S', std::string("base") + '\0' + reported_base_ + '\0'});
  }

  void OnStartup() {
    if (input_.size() < 8 || input_.size() < ReadU32(input_)) {
      if (end_.fin) Leave(false);
      return;
    }
    const uint32_t length = ReadU32(input_);
    std::string_view body = std::string_view(input_).substr(4, length - 4);
    if (ReadU32(body) == kSslRequestCode) {
      OnSslRequest();
      return;
    }
    if (ReadU32(body) == kCancelCode) {
      server_.Cancel(ReadU32(body.substr(4)), ReadU32(body.substr(8)));
      Leave(false);
      return;
    }
    CHECK(ReadU32(body) == 3u << 16);
    body.remove_prefix(4);
    std::map<std::string, std::string> parameters;
    while (body.size() > 1) {
      const std::string name(body.substr(0, body.find('\0')));
      body.remove_prefix(name.size() + 1);
      parameters[name] = std::string(body.substr(0, body.find('\0')));
      body.remove_prefix(parameters[name].size() + 1);
    }
    input_.erase(0, length);
    for (const auto& [name, value] : parameters) {
      if (name != "user" && name != "database") session_.set_startup(name, value);
    }
    if (server_.ready_at_ > server_.net_.now()) {
      Refuse("57P03", "the database system is starting up");
    } else if (server_.open_ >= server_.database_.max_connections) {
      ++server_.refused_;
      Refuse("53300", "sorry, too many clients already");
    } else if (parameters["database"] == "none") {
      Refuse("3D000", "database \"none\" does not exist");
    } else {
      holds_place_ = true;
      server_.open_most_ = std::max(server_.open_most_, ++server_.open_);
      if (server_.options_.scram) {
        phase_ = Phase::kScramFirst;
        output_ += Encode({'R', U32(10) + "SCRAM-SHA-256" + std::string(2, '\0')});
        Flush();
      } else {
        Welcome();
      }
    }
  }

  void Refuse(std::string_view code, std::string_view text) {
    output_ += Encode(ErrorMessage("FATAL", code, text));
    Flush();
    Leave(false);
  }

  void OnPassword(const PgMessage& message) {
    std::string reply;
    using Result = protocol::ScramServer::Result;
    if (phase_ == Phase::kScramFirst) {
      scram_.emplace(server_.verifier_, server_.entropy_);
      const size_t head = message.body.find('\0') + 5;
      CHECK(scram_->OnFirst(std::string_view(message.body).substr(head), reply) == Result::kOk);
      output_ += Encode({'R', U32(11) + reply});
      phase_ = Phase::kScramFinal;
      Flush();
      return;
    }
    CHECK(scram_->OnFinal(message.body, reply) == Result::kOk);
    output_ += Encode({'R', U32(12) + reply});
    Welcome();
  }

  void Welcome() {
    phase_ = Phase::kServing;
    uint8_t random[4];
    server_.entropy_.Fill(random);
    std::memcpy(&secret_, random, sizeof secret_);
    secret_ &= 0x7fffffff;
    output_ += Encode({'R', U32(0)});
    for (const std::string_view name : {"client_encoding", "standard_conforming_strings"}) {
      const std::string_view value = name[0] == 'c' ? "UTF8" : "on";
      output_ += Encode({'S', std::string(name) + '\0' + std::string(value) + '\0'});
    }
    Report();
    output_ += Encode({'K', U32(process_id_) + U32(secret_)});
    output_ += Encode({'Z', "I"});
    Flush();
  }

  PgServer& server_;
  End& end_;
  PgSession session_;
  const uint32_t process_id_;
  uint32_t secret_ = 0;
  Phase phase_ = Phase::kStartup;
  bool open_ = true;
  bool holds_place_ = false;
  bool sleeping_ = false;
  bool cancelled_ = false;
  Nanos busy_until_ = 0;
  std::string input_;
  std::string output_;  // still to be encrypted
  std::string wire_;    // ... and to be sent
  std::optional<SimTlsPipe> tls_;
  std::optional<PgMessage> current_;
  std::optional<protocol::ScramServer> scram_;
  std::string reported_base_;
};

PgServer::PgServer(Net& net, engine::Entropy& entropy, const PgServerOptions& options)
    : net_(net), entropy_(entropy), options_(options), verifier_(Verifier()) {
  database_.max_connections = options.max_connections;
  net_.Listen(std::string(kAddress), [this](End& end) { return Accept(end); });
}

PgServer::~PgServer() = default;

bool PgServer::Accept(End& end) {
  if (!up_) return false;
  connections_.emplace_back(*this, end, 1000 + static_cast<uint32_t>(connections_.size()));
  net_.SetParty(end, &connections_.back());
  return true;
}

bool PgServer::Cancel(uint32_t process_id, uint32_t secret) {
  for (Connection& each : connections_) {
    if (each.open() && each.process_id() == process_id && each.secret() == secret) {
      each.Cancel();
      return true;
    }
  }
  return false;
}

std::string PgServer::Situation() const {
  std::string out;
  for (const Connection& each : connections_) {
    if (each.open()) out += each.Situation();
  }
  return out;
}

void PgServer::Stop() {
  up_ = false;
  for (Connection& each : connections_) each.Die(net_.Chance(0.5));
}

void PgServer::Start() {
  up_ = true;
  ready_at_ = net_.now() + net_.Between(0, 200 * engine::kMillisecond);
}

void PgServer::Hang(Nanos until) { hangs_until_ = until; }

void PgServer::KillOne() {
  std::vector<Connection*> alive;
  for (Connection& each : connections_) {
    if (each.open()) alive.push_back(&each);
  }
  if (!alive.empty()) alive[net_.prng().Below(alive.size())]->Die(net_.Chance(0.5));
}

void PgServer::SetMaxConnections(int most) { database_.max_connections = most; }

}  // namespace weir::sim
