#include "tests/sim/sim_client.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>

#include "engine/base/check.h"
#include "pool/session/refusal.h"
#include "tests/sim/pg_server.h"

namespace weir::sim {
namespace {

std::string Z(std::string_view text) { return std::string(text) + std::string(1, '\0'); }

// PBKDF2 takes milliseconds: once for each salt.
const protocol::ScramKeys& KeysFor(const std::string& salt, uint32_t iterations) {
  static std::map<std::string, protocol::ScramKeys> known;
  const auto found = known.find(salt);
  if (found != known.end()) return found->second;
  return known.emplace(salt, protocol::DeriveScramKeys(PgServer::kPassword, salt, iterations))
      .first->second;
}

constexpr uint32_t kSslRequest = 80877103;

// A second connection that carries a CancelRequest.
class Canceller final : public Party {
 public:
  Canceller(Net& net, std::string bytes) : net_(net), bytes_(std::move(bytes)) {}
  void OnChange(End& end) override {
    if (end.refused != 0 || end.reset || end.fin) {
      net_.Close(end);
      return;
    }
    if (end.connected && !bytes_.empty()) bytes_.erase(0, net_.Write(end, bytes_));
  }

 private:
  Net& net_;
  std::string bytes_;
};

}  // namespace

SimClient::SimClient(Net& net, engine::Entropy& entropy, Verdicts& verdicts, uint64_t seed,
                     int number, const ClientOptions& options)
    : net_(net),
      entropy_(entropy),
      verdicts_(verdicts),
      prng_(seed),
      number_(number),
      options_(options) {}

void SimClient::Start() { Later(net_.Between(0, 20 * engine::kMillisecond)); }

std::string SimClient::Situation() const {
  std::string out = "client " + Number(number_) + " state " + Number(static_cast<int>(state_)) +
                    " life " + Number(lives_) + " in flight " +
                    Number(static_cast<int64_t>(requests_.size()));
  if (!requests_.empty()) {
    const Request& head = requests_.front();
    out += " since " + Number(head.sent_at) + " seen " + Number(static_cast<int64_t>(head.seen)) +
           " of " + Number(static_cast<int64_t>(head.expected.size())) + ":";
    for (const PgMessage& each : head.messages) out += " " + Readable(each, 60);
  }
  return out;
}

void SimClient::Wrong(const std::string& what, const PgMessage& message) {
  std::string text = what + ": got " + Readable(message, 200);
  if (requests_.empty() || requests_.front().seen >= requests_.front().expected.size()) {
    text += " and expected nothing";
  } else {
    const Request& head = requests_.front();
    text += " instead of " + Readable(head.expected[head.seen], 200);
  }
  verdicts_.Violation(text + "\n" + Situation());
  std::abort();
}

void SimClient::Later(Nanos delay) {
  if (acting_) return;
  acting_ = true;
  Nanos when = net_.now() + delay;
  if (options_.beat > 0 && state_ == State::kServing)
    when = (when / options_.beat + 1) * options_.beat;
  net_.At(when, [this] {
    acting_ = false;
    Act();
  });
}

void SimClient::Act() {
  switch (state_) {
    case State::kAway:
      Begin();
      return;
    case State::kServing:
      Read();
      if (state_ == State::kServing) Ask();
      Flush();
      return;
    case State::kLeaving:
      Read();
      Flush();
      return;
    case State::kConnecting:
    case State::kLogin:
      Flush();
      Read();
      return;
    case State::kDone:
      return;
  }
}

void SimClient::Begin() {
  ++lives_;
  ++life_;
  state_ = State::kConnecting;
  input_.clear();
  output_.clear();
  wire_.clear();
  tls_.reset();
  asks_tls_ = options_.encryption == ClientOptions::Encryption::kAsk;
  requests_.clear();
  names_.clear();
  gone_names_.clear();
  block_inserts_.clear();
  in_block_ = pinned_ = half_closed_ = loses_life_ = terminated_ = unnamed_certain_ = holding_ =
      said_close_ = false;
  last_number_.reset();
  asked_ = cancels_sent_ = 0;
  stalled_until_ = 0;
  life_requests_ = static_cast<int>(Some(options_.requests));
  model_ = PgSession();
  std::string body = U32(3u << 16) + Z("user") + Z("app") + Z("database") + Z(options_.database);
  for (const auto& [name, value] :
       {std::pair{"base", options_.base}, {"mine", options_.mine}, {"start", options_.start}}) {
    if (value.empty()) continue;
    body += Z(name) + Z(value);
    model_.set_startup(name, value);
  }
  if (options_.bad) body += Z("options") + Z("-c no_such=1");
  told_base_.clear();
  report_certain_ = true;
  output_ = Encode({0, body + std::string(1, '\0')});
  if (asks_tls_) wire_ = Encode({0, U32(kSslRequest)});
  if (options_.encryption == ClientOptions::Encryption::kDirect) BeginTls();
  end_ = &net_.Connect(options_.weir_address, *this);
}

void SimClient::OnChange(End& end) {
  if (&end != end_) return;
  if (state_ == State::kConnecting) {
    if (end.refused != 0) {
      net_.Note("client " + Number(number_) + " cannot connect");
      Gone();
      return;
    }
    if (!end.connected) return;
    state_ = State::kLogin;
  }
  if (options_.slow_reader > 0 && state_ == State::kServing && net_.now() >= stalled_until_ &&
      Roll() < options_.slow_reader) {
    stalled_until_ = net_.now() + net_.Between(0, 200 * engine::kMillisecond);
  }
  Flush();
  if (stalled_until_ > net_.now()) {
    Later(stalled_until_ - net_.now());
    return;
  }
  Read();
}

void SimClient::BeginTls() {
  tls_.emplace(SimTls::Side::kClient);
  tls_->Begin(wire_);
}

void SimClient::Flush() {
  if (end_ == nullptr) return;
  const bool open = !asks_tls_ && (!tls_.has_value() || tls_->ready());
  if (open && !output_.empty()) {
    if (tls_.has_value()) {
      tls_->Seal(output_, wire_);
    } else {
      wire_ += output_;
    }
    output_.clear();
  }
  // Some close without a word of TLS.
  if (open && half_closed_ && tls_.has_value() && !end_->shut &&
      !std::exchange(said_close_, true) && number_ % 3 != 0)
    tls_->Close(wire_);
  while (!wire_.empty()) {
    const uint32_t written = net_.Write(*end_, wire_);
    if (written == 0) return;
    wire_.erase(0, written);
  }
  if (half_closed_ && output_.empty() && !end_->shut) net_.Shutdown(*end_);
}

// Takes what has arrived; false: there is nothing.
bool SimClient::Receive() {
  if (end_ == nullptr || end_->inbox.empty()) return false;
  std::string received = net_.Read(*end_, SIZE_MAX);
  if (asks_tls_) {
    if (received != "S") Wrong("no answer to an SSLRequest", {'?', received});
    asks_tls_ = false;
    BeginTls();
    Flush();
    return true;
  }
  if (!tls_.has_value()) {
    input_ += received;
    return true;
  }
  input_ += tls_->Open(received, wire_);
  if (!tls_->error().empty()) Wrong(std::string(tls_->error()), {});
  Flush();
  return true;
}

void SimClient::Read() {
  while (Receive()) {
    PgMessage message;
    while (end_ != nullptr && Decode(input_, message)) {
      if (state_ == State::kLogin) {
        OnLogin(message);
      } else if (state_ == State::kServing || state_ == State::kLeaving) {
        OnReply(message);
      }
    }
  }
  if (end_ != nullptr && (end_->reset || end_->fin) && end_->inbox.empty()) OnEnd();
}

// The far side has closed.
void SimClient::OnEnd() {
  if (!input_.empty() && !end_->reset && !options_.may_lose)
    Wrong("the connection ended within a message", {});
  const bool good = state_ == State::kLeaving && requests_.empty();
  if (!good && !loses_life_ && !terminated_ && !options_.may_lose) {
    Wrong(end_->reset ? "the connection was reset" : "the connection was closed", {});
  }
  Gone();
}

void SimClient::Gone() {
  if (end_ != nullptr) net_.Close(*end_);
  end_ = nullptr;
  // What was under way is not known; rows of it may be there.
  state_ = lives_ < options_.lives ? State::kAway : State::kDone;
  if (state_ == State::kAway) Later(net_.Between(0, options_.away_max));
}

void SimClient::OnLogin(const PgMessage& message) {
  switch (message.type) {
    case 'R': {
      const uint32_t code = ReadU32(message.body);
      if (code == 10) {
        scram_.emplace(entropy_);
        const std::string first = scram_->First();
        output_ +=
            Encode({'p', Z("SCRAM-SHA-256") + U32(static_cast<uint32_t>(first.size())) + first});
      } else if (code == 11) {
        CHECK(scram_->OnServerFirst(std::string_view(message.body).substr(4)));
        output_ += Encode({'p', scram_->Final(KeysFor(scram_->salt(), scram_->iterations()))});
      } else if (code == 12) {
        if (!scram_->OnServerFinal(std::string_view(message.body).substr(4)))
          Wrong("weir's signature is wrong", message);
      }
      Flush();
      return;
    }
    case 'S':
      OnReport(message);
      return;
    case 'N':
      return;
    case 'K':
      process_id_ = ReadU32(message.body);
      secret_ = ReadU32(std::string_view(message.body).substr(4));
      return;
    case 'E': {
      const std::string code = ErrorFieldOf(message, 'C');
      const bool good = options_.database == "none"
                            ? code == "3D000" || (code == "08000" && options_.may_wait)
                        : options_.bad && code == "42704"
                            ? true
                            : options_.may_lose || (code == "08000" && options_.may_wait);
      if (!good) Wrong("the login failed", message);
      loses_life_ = true;
      net_.Note("client " + Number(number_) + " is refused: " + Readable(message, 100));
      return;
    }
    case 'Z':
      if (options_.database == "none") Wrong("a login to a database that does not exist", message);
      if (options_.bad) Wrong("a login with a setting that does not exist", message);
      if (told_base_ != model_.Shown("base")) Wrong("a greeting of another base", message);
      state_ = State::kServing;
      Later(net_.Between(0, options_.think_max));
      return;
    default:
      Wrong("an unexpected message in the login", message);
  }
}

// Sends more, or leaves.
void SimClient::Ask() {
  CheckPatience();
  if (net_.now() < stalled_until_ || !output_.empty() || !wire_.empty() || holding_) {
    Later(std::max<Nanos>(stalled_until_ - net_.now(), engine::kMillisecond));
    return;
  }
  const bool room = static_cast<int>(requests_.size()) < options_.depth;
  if (asked_ < life_requests_ || in_block_) {
    if (room) {
      ++asked_;
      Send(Next());
    }
  } else if (requests_.empty() || options_.rude) {
    Leave();
    return;
  }
  if (options_.cancels && !requests_.empty() && requests_.front().sleeps && Roll() < 0.6)
    SendCancel();
  if (options_.rude && !requests_.empty() && requests_.back().pins && Roll() < 0.8) VanishSoon();
  if (options_.rude && Roll() < 0.01) {
    asked_ = life_requests_;
    in_block_ = false;
  }
  Later(net_.Between(0, options_.think_max));
}

void SimClient::CheckPatience() {
  if (requests_.empty() || net_.now() - requests_.front().sent_at < options_.patience) return;
  verdicts_.Violation("no answer within " + Number(options_.patience / engine::kMillisecond) +
                      " ms\n" + Situation());
}

// At once, or so late that the request, and perhaps the client, has gone.
void SimClient::SendCancel() {
  ++cancels_sent_;
  auto canceller = std::make_shared<Canceller>(
      net_, Encode({0, U32(80877102) + U32(process_id_) + U32(secret_)}));
  const Nanos delay = Roll() < 0.5 ? 0 : net_.Between(0, 100 * engine::kMillisecond);
  net_.At(net_.now() + delay,
          [this, canceller] { net_.Connect(options_.weir_address, *canceller); });
  net_.At(net_.now() + 1000 * engine::kSecond, [canceller] {});
}

// In the middle of what it has asked.
void SimClient::VanishSoon() {
  net_.At(net_.now() + net_.Between(0, 2 * engine::kMillisecond), [this, life = life_] {
    if (life != life_ || end_ == nullptr) return;
    net_.Reset(*end_);
    end_ = nullptr;
    Gone();
  });
}

void SimClient::Leave() {
  const double how = Roll();
  state_ = State::kLeaving;
  if (options_.rude && how < 0.25) {
    // It vanishes.
    net_.Reset(*end_);
    end_ = nullptr;
    Gone();
    return;
  }
  if (how < 0.5) {
    // It says no more, and reads on to the end.
    half_closed_ = true;
  } else {
    output_ += Encode({'X', {}});
    terminated_ = true;
    half_closed_ = true;
  }
  Flush();
  Later(net_.Between(0, 10 * engine::kMillisecond));
}

// What the session becomes by it, if all goes well. A pin begins and ends with a transaction.
void SimClient::Model(Request& request) {
  request.before = model_;
  request.pinned = pinned_;
  request.seen = 0;
  request.expected.clear();
  for (const PgMessage& message : request.messages) model_.Take(message, false, request.expected);
  if (model_.status() == 'I') pinned_ = model_.lasts();
}

void SimClient::Send(Request request) {
  Model(request);
  for (const PgMessage& message : request.messages) {
    net_.Note("client " + Number(number_) + " says " + Readable(message, 60));
    output_ += Encode(message);
    if (message.type == 'Q') unnamed_certain_ = false;
  }
  request.sent_at = net_.now();
  if (!request.inserts.empty()) verdicts_.inserted.insert(request.inserts);
  requests_.push_back(std::move(request));
  // Some send their bytes in pieces.
  if (output_.size() > 1 && Roll() < 0.1) {
    const std::string rest = output_.substr(1 + prng_.Below(output_.size() - 1));
    output_.resize(output_.size() - rest.size());
    Flush();
    net_.At(net_.now() + net_.Between(0, 3 * engine::kMillisecond), [this, rest, life = life_] {
      if (life != life_ || end_ == nullptr) return;
      output_ += rest;
      holding_ = false;
      Flush();
    });
    holding_ = true;
  }
  Flush();
}

void SimClient::OnReply(const PgMessage& message) {
  net_.Note("client " + Number(number_) + " gets " + Readable(message, 60));
  if (message.type == 'S') OnReport(message);
  if (message.type == 'N' || message.type == 'S' || message.type == 'A') return;
  if (requests_.empty()) {
    // It may be told that it must go.
    if (message.type == 'E' && ErrorFieldOf(message, 'S') == "FATAL" && options_.may_lose) {
      loses_life_ = true;
      return;
    }
    Wrong("a reply that nobody asked for", message);
  }
  Request& head = requests_.front();
  if (head.seen < head.expected.size() && Matches(head.expected[head.seen], message)) {
    ++head.seen;
    if (head.seen == head.expected.size()) Answered();
    return;
  }
  if (message.type == 'E' && OnError(message)) return;
  // Its error was the server's last word: no second one follows, only the end of the transaction.
  if (options_.may_lose && message == PgMessage{'Z', "I"} && head.seen > 0 &&
      head.seen + 1 == head.expected.size() && head.expected[head.seen - 1].type == 'E') {
    ++verdicts_.lost;
    EndsOtherwise();
    Answered();
    return;
  }
  Wrong("a wrong reply", message);
}

void SimClient::OnReport(const PgMessage& message) {
  if (message.body.starts_with(Z("base")))
    told_base_ = message.body.substr(5, message.body.size() - 6);
}

// What it has been told is what it is shown.
void SimClient::CheckReport(const Request& answered) {
  if (answered.messages.size() != 1 || answered.messages[0].body != Z("show base")) return;
  for (const PgMessage& each : answered.expected) {
    if (each.type == 'D' && report_certain_ && each.body.substr(6) != told_base_)
      Wrong("told another base: " + told_base_, each);
  }
}

bool SimClient::Matches(const PgMessage& expected, const PgMessage& message) {
  if (expected == message) return true;
  if (expected.type != 'D' || message.type != 'D') return false;
  const bool any = expected.body.find(PgSession::kAnyNumber) != std::string::npos;
  const bool own = expected.body.find(PgSession::kOwnNumber) != std::string::npos;
  if (!any && !own) return false;
  const int64_t value = std::atoll(message.body.c_str() + 6);
  if (any) last_number_ = value;
  return any || (last_number_.has_value() && value == *last_number_);
}

// The server has cancelled it: the model runs it so.
bool SimClient::OnServerCancelled(const PgMessage& message) {
  Request& head = requests_.front();
  model_ = head.before;
  head.expected.clear();
  for (const PgMessage& each : head.messages) model_.Take(each, true, head.expected);
  // What was answered before stands.
  const auto from =
      head.expected.begin() + static_cast<ptrdiff_t>(std::min(head.seen, head.expected.size()));
  const auto error = std::find_if(from, head.expected.end(),
                                  [](const PgMessage& each) { return each.type == 'E'; });
  if (error != head.expected.end()) head.expected.erase(from, error);
  if (head.seen >= head.expected.size() || !Matches(head.expected[head.seen], message))
    return false;
  ++head.seen;
  pinned_ = model_.status() == 'I' ? model_.lasts() : head.pinned;
  Redo(1);
  return true;
}

// An error that is not the model's: may it be?
bool SimClient::OnError(const PgMessage& message) {
  Request& head = requests_.front();
  const std::string severity = ErrorFieldOf(message, 'S');
  const std::string code = ErrorFieldOf(message, 'C');
  const std::string text = ErrorFieldOf(message, 'M');
  if (severity == "FATAL") {
    if (!options_.may_lose) return false;
    loses_life_ = true;
    ++verdicts_.lost;
    requests_.clear();
    return true;
  }
  if (code == "57014" && cancels_sent_ > 0 && head.sleeps &&
      text.starts_with("canceling statement: "))
    return OnServerCancelled(message);
  if (code == "0A000" && head.seen < head.expected.size()) {
    // A text that goes on behind a reset of what the client began with: nothing of it has run.
    const std::string& asked = head.messages[0].body;
    const bool resets =
        asked.find("reset ") != std::string::npos || asked.find(" to default") != std::string::npos;
    if (head.messages.size() != 1 || !resets || asked.find("; ") == std::string::npos) return false;
    model_ = head.before;
    std::vector<PgMessage> failed;
    model_.Take({'Q', std::string("select '', 1 / 0") + '\0'}, false, failed);
    head.expected = {failed.back()};
    head.seen = 0;
    pinned_ = model_.status() == 'I' ? model_.lasts() : head.pinned;
    Redo(1);
    return true;
  }
  if (code == "55000" && head.seen < head.expected.size()) {
    // Where the sequence was used by others since, an honest error.
    bool own = false;
    for (size_t i = head.seen; i < head.expected.size(); ++i)
      own = own || head.expected[i].body.find(PgSession::kOwnNumber) != std::string::npos;
    if (!own) return false;
    head.expected = {{'Z', "I"}};
    head.seen = 0;
    return true;
  }
  const bool fresh = head.before.status() == 'I' && !head.pinned;
  const bool timed_out =
      code == pool::kBorrowTimedOut.sqlstate && text.starts_with(pool::kBorrowTimedOut.text);
  const bool cancelled = code == pool::kCancelled.sqlstate && text == pool::kCancelled.text;
  const bool lost = !timed_out && (code == pool::kConnectionLost.sqlstate || code == "57P01" ||
                                   code == "57P03" || code == "53300");
  if (timed_out) {
    if (!options_.may_wait || !fresh) return false;
    if (net_.now() - head.sent_at < options_.borrow_timeout) return false;
    ++verdicts_.refused;
  } else if (cancelled) {
    if (cancels_sent_ == 0 || !fresh) return false;
  } else if (lost) {
    if (!options_.may_lose || head.pinned) return false;
    ++verdicts_.lost;
    report_certain_ = false;
  } else {
    return false;
  }
  EndsOtherwise();
  return true;
}

// The request at the head has failed, and its transaction with it: an error of weir's own.
void SimClient::EndsOtherwise() {
  Request& head = requests_.front();
  const bool fresh = head.before.status() == 'I' && !head.pinned;
  model_ = head.before;
  model_.Abort();
  // A pin begins when its transaction has ended: a client that gets an ERROR had none.
  pinned_ = false;
  for (const std::string& name : head.names) names_.erase(name);
  head.names.clear();
  unnamed_certain_ = false;
  head.inserts.clear();
  block_inserts_.clear();
  if (in_block_ && !fresh) in_block_ = false;
  if (fresh) in_block_ = false;
  head.expected = {{'Z', "I"}};
  head.seen = 0;
  Redo(1);
}

// What was sent behind a request that has ended otherwise is answered otherwise.
void SimClient::Redo(size_t from) {
  for (size_t i = from; i < requests_.size(); ++i) Model(requests_[i]);
}

void SimClient::Answered() {
  Request request = std::move(requests_.front());
  requests_.pop_front();
  ++verdicts_.answers;
  CheckReport(request);
  verdicts_.longest_wait = std::max(verdicts_.longest_wait, net_.now() - request.sent_at);
  bool failed = false;
  for (const PgMessage& each : request.expected) failed = failed || each.type == 'E';
  if (failed) {
    for (const std::string& name : request.names) {
      names_.erase(name);
      gone_names_.push_back(name);
    }
  } else {
    for (const std::string& name : request.names) names_.insert(name);
  }
  const char status = request.expected.back().type == 'Z' ? request.expected.back().body[0] : 'I';
  if (!request.inserts.empty() && !failed) {
    if (status == 'I') {
      verdicts_.rows_least[request.inserts] += request.rows;
    } else {
      block_inserts_.push_back({request.inserts, request.rows});
    }
  }
  if (status == 'I' && !block_inserts_.empty() && request.inserts.empty()) {
    bool committed = false;
    for (const PgMessage& each : request.expected)
      committed = committed || (each.type == 'C' && each.body.starts_with("COMMIT"));
    if (committed) {
      for (const auto& [tag, rows] : block_inserts_) verdicts_.rows_least[tag] += rows;
    }
    block_inserts_.clear();
  }
  if (state_ == State::kServing && Roll() < 0.5) Ask();
  if (state_ == State::kServing) Later(net_.Between(0, options_.think_max));
}

}  // namespace weir::sim
