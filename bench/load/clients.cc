#include "bench/load/clients.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>

#include "engine/base/text.h"
#include "engine/socket.h"
#include "protocol/postgres/format.h"
#include "protocol/wire/cursor.h"
#include "protocol/wire/writer.h"

namespace weir::load {

namespace backend = postgres::backend;
using engine::Cat;
using engine::Nanos;
using protocol::Cursor;

namespace {

constexpr uint32_t kConnectsPerTick = 32;
constexpr uint32_t kHandshakesAtOnce = 16;
constexpr std::string_view kTlsRequest{"\0\0\0\x08\x04\xd2\x16\x2f", 8};
// A slow reader takes 800 KB/s, from a small receive buffer.
constexpr size_t kSlowBytes = 4096;
constexpr Nanos kSlowPeriod = 5 * engine::kMillisecond;
constexpr int kSlowBuffer = 8192;

}  // namespace

class Client final : public Socket, private engine::TlsOutput {
 public:
  enum class State : uint8_t { kTlsAsked, kLogin, kPreparing, kReady, kAsking };

  Client(Clients& clients, int fd, bool is_slow)
      : Socket(clients.poller_, fd), slow(is_slow), clients_(clients) {
    if (clients.entry_.tls) {
      state = State::kTlsAsked;
      Send(kTlsRequest);
    } else {
      Send(StartupMessage());
    }
  }
  // As it is meant, whether it leaves encrypted or not.
  void Say(std::string_view bytes) {
    if (tls_ == nullptr) return Send(bytes);
    tls_->Write(engine::AsBytes(bytes), *this);
  }
  void Close() {
    if (tls_ != nullptr) tls_->Close(*this);
    Die();
  }

  State state = State::kLogin;
  const bool slow;
  Nanos due = 0;
  char key[kKeyDigits];
  int rows = 0;  // of the answer

 protected:
  size_t OnBytes(std::string_view bytes) override {
    if (state == State::kTlsAsked) {
      if (bytes != "S") Fail("the answer to a request for TLS is not 'S'");
      tls_ = clients_.tls_.New(clients_.entry_.resumes);
      state = State::kLogin;
      Decrypt({});
      return bytes.size();
    }
    if (tls_ == nullptr) return Take(bytes);
    Decrypt(bytes);
    return bytes.size();
  }
  void OnEnd(int error) override {
    Fail(Cat("a client's connection ended: ",
             std::string_view(error == 0 ? "closed by the peer" : std::strerror(error))));
  }

 private:
  void OnCiphertext(engine::Bytes bytes) override { Send(engine::AsText(bytes)); }

  void Decrypt(std::string_view ciphertext) {
    engine::Bytes in = engine::AsBytes(ciphertext);
    for (;;) {
      uint8_t into[16 * 1024];
      size_t length = 0;
      switch (tls_->Read(in, into, length, *this)) {
        case engine::Tls::Status::kMore:
          return;
        case engine::Tls::Status::kReady:
          clients_.OnEncrypted(*this, tls_->Facts().resumed);
          if (dead()) return;
          break;
        case engine::Tls::Status::kData:
          plain_ += engine::AsText(engine::Bytes(into, length));
          plain_.erase(0, Take(plain_));
          break;
        case engine::Tls::Status::kClosed:
          return OnEnd(0);
        case engine::Tls::Status::kFailed:
          Fail(Cat("TLS: ", tls_->error()));
      }
    }
  }

  // Returns how much of it were whole messages.
  size_t Take(std::string_view bytes) {
    const size_t all = bytes.size();
    char type = 0;
    std::string_view body;
    while (NextMessage(bytes, type, body)) OnMessage(type, body);
    return all - bytes.size();
  }

  void OnAuthentication(std::string_view body) {
    Cursor cursor(body);
    std::string out;
    protocol::Writer writer(out);
    switch (static_cast<postgres::Authentication>(cursor.U32())) {
      case postgres::Authentication::kOk:
      case postgres::Authentication::kSaslFinal:
        return;
      case postgres::Authentication::kSasl: {
        scram_ = std::make_unique<protocol::ScramClient>(clients_.entropy_);
        const std::string first = scram_->First();
        writer.Begin('p').CString(protocol::kScramSha256);
        writer.U32(static_cast<uint32_t>(first.size())).Raw(first);
        break;
      }
      case postgres::Authentication::kSaslContinue:
        if (!scram_->OnServerFirst(cursor.rest())) Fail("SCRAM: a wrong message came");
        writer.Begin('p').Raw(
            scram_->Final(clients_.KeysFor(scram_->salt(), scram_->iterations())));
        break;
      case postgres::Authentication::kMd5Password:
      case postgres::Authentication::kCleartextPassword:
        Fail("a client was asked for a password otherwise than by SCRAM");
    }
    writer.End();
    Say(out);
  }

  void OnMessage(char type, std::string_view body) {
    switch (type) {
      case backend::kAuthentication:
        return OnAuthentication(body);
      case backend::kErrorResponse:
        Fail(Cat("a client got an error: ", Readable(body)));
      case backend::kDataRow:
        return CheckRow(body);
      case backend::kReadyForQuery:
        return OnReadyForQuery();
      default:
        return;
    }
  }

  void CheckRow(std::string_view body) {
    Cursor cursor(body);
    const uint16_t columns = cursor.U16();
    const std::string_view value = cursor.Bytes(cursor.U32());
    ++rows;
    if (state != State::kAsking || columns != 1 || !value.starts_with({key, kKeyDigits}))
      Fail(Cat("WRONG ANSWER: asked for ", std::string_view(key, kKeyDigits), ", got ",
               value.substr(0, kKeyDigits)));
  }

  void OnReadyForQuery() {
    switch (state) {
      case State::kLogin:
        if (clients_.mode_ == Mode::kPrepared && !slow) {
          state = State::kPreparing;
          Say(ParseMessage("P0"));
          return;
        }
        return clients_.OnReady(*this);
      case State::kPreparing:
        return clients_.OnReady(*this);
      case State::kAsking:
        if (rows != (slow ? kBigRows : 1)) Fail(Cat("an answer of ", rows, " rows came"));
        return clients_.OnAnswer(*this);
      case State::kTlsAsked:
      case State::kReady:
        Fail("an answer came that nobody had asked for");
    }
  }

  static std::string Readable(std::string_view body) {
    std::string text(body);
    for (char& each : text) {
      if (each == '\0') each = ' ';
    }
    return text;
  }

  Clients& clients_;
  std::unique_ptr<engine::Tls> tls_;  // nullptr: in the clear
  std::string plain_;                 // an incomplete message
  std::unique_ptr<protocol::ScramClient> scram_;
};

Clients::Clients(Poller& poller, const engine::Address& address, Mode mode, Entry entry,
                 Latencies& latencies, uint32_t late_every)
    : poller_(poller),
      address_(address),
      mode_(mode),
      entry_(std::move(entry)),
      latencies_(latencies),
      late_every_(late_every),
      question_(Question(mode)),
      big_question_(BigQuestion()) {}

Clients::~Clients() = default;

void Clients::Add(uint32_t count, bool slow) {
  CHECK(to_connect_ == 0);
  to_connect_ = count;
  connecting_slow_ = slow;
}

void Clients::Connect(bool slow) {
  const int fd = engine::OpenClientSocket(address_);
  if (fd < 0) Fail(Cat("no socket: ", std::string_view(std::strerror(-fd))));
  if (slow) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kSlowBuffer, sizeof kSlowBuffer);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  if (connect(fd, address_.get(), address_.length()) != 0 && errno != EINPROGRESS)
    Fail(Cat("cannot connect to ", address_.ToString(), ": ",
             std::string_view(std::strerror(errno))));
  // Those that go at once keep themselves.
  auto client = std::make_unique<Client>(*this, fd, slow);
  if (only_handshakes_) {
    static_cast<void>(client.release());
  } else {
    clients_.push_back(std::move(client));
  }
}

void Clients::Handshake(uint32_t count) {
  CHECK(entry_.tls && handshakes_ == 0);
  handshakes_ = count;
  handshaking_ = 0;
  only_handshakes_ = true;
}

void Clients::OnEncrypted(Client& client, bool resumed) {
  resumed_ += resumed ? 1 : 0;
  if (!only_handshakes_) return client.Say(StartupMessage());
  --handshakes_;
  --handshaking_;
  client.Close();
}

// They are derived once: that is slow, and the clients' own work.
const protocol::ScramKeys& Clients::KeysFor(const std::string& salt, uint32_t iterations) {
  const std::string wanted = Cat(salt, iterations);
  if (salt_ != wanted) keys_ = protocol::DeriveScramKeys(entry_.password, salt, iterations);
  salt_ = wanted;
  return keys_;
}

void Clients::OnReady(Client& client) {
  ++ready_;
  client.state = Client::State::kReady;
  if (!client.slow) {
    free_.push_back(&client);
    return;
  }
  client.SetPolled(false);
  slow_.push_back(&client);
}

void Clients::Begin(double rate, Nanos now) {
  begun_ = true;
  for (Client* client : slow_) Ask(*client, now);
  if (rate > 0) {
    gap_ = 1e9 / rate;
    next_due_ = now;
    return;
  }
  for (; !free_.empty(); free_.pop_front()) Ask(*free_.front(), now);
}

void Clients::End(Nanos now) {
  begun_ = false;
  for (const Nanos due : due_) latencies_.Record(now - due);
  due_.clear();
}

void Clients::Ask(Client& client, Nanos due) {
  client.state = Client::State::kAsking;
  client.due = due;
  client.rows = 0;
  uint32_t number = kKeyFirst + key_;
  key_ = (key_ + 1) % kKeys;
  for (size_t i = kKeyDigits; i > 0; --i, number /= 10)
    client.key[i - 1] = static_cast<char>('0' + number % 10);
  ++asking_;
  client.Say((client.slow ? big_question_ : question_).With({client.key, kKeyDigits}));
}

void Clients::OnAnswer(Client& client) {
  --asking_;
  client.state = Client::State::kReady;
  const Nanos now = engine::MonotonicNow();
  if (client.slow) {
    ++slow_answers_;
    if (begun_) Ask(client, now);
    return;
  }
  if (recording_) {
    ++answers_;
    if (!IsLate({client.key, kKeyDigits}, late_every_)) latencies_.Record(now - client.due);
  }
  if (!begun_) return;
  if (gap_ == 0) {
    Ask(client, now);
  } else if (!due_.empty()) {
    const Nanos due = due_.front();
    due_.pop_front();
    Ask(client, due);
  } else {
    free_.push_back(&client);
  }
}

void Clients::Tick(Nanos now) {
  for (uint32_t i = 0; i < kConnectsPerTick && to_connect_ > 0; ++i) {
    --to_connect_;
    Connect(connecting_slow_);
  }
  for (; handshaking_ < std::min(handshakes_, kHandshakesAtOnce); ++handshaking_) Connect(false);
  if (begun_ && gap_ > 0) {
    for (; next_due_ <= now;
         next_due_ += static_cast<Nanos>(-std::log(1 - prng_.Fraction()) * gap_)) {
      if (free_.empty()) {
        due_.push_back(next_due_);
        continue;
      }
      Client* client = free_.front();
      free_.pop_front();
      Ask(*client, next_due_);
    }
  }
  if (slow_.empty() || now < slow_read_at_) return;
  slow_read_at_ = now + kSlowPeriod;
  for (Client* client : slow_) client->ReadSome(kSlowBytes);
}

}  // namespace weir::load
