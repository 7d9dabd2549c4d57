#include "bench/load/clients.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cmath>
#include <cstring>

#include "engine/base/text.h"
#include "engine/socket.h"
#include "protocol/postgres/format.h"
#include "protocol/wire/cursor.h"

namespace weir::load {

namespace backend = postgres::backend;
using engine::Cat;
using engine::Nanos;
using protocol::Cursor;

namespace {

constexpr uint32_t kConnectsPerTick = 32;
// A slow reader takes 800 KB/s, from a small receive buffer.
constexpr size_t kSlowBytes = 4096;
constexpr Nanos kSlowPeriod = 5 * engine::kMillisecond;
constexpr int kSlowBuffer = 8192;

}  // namespace

class Client final : public Socket {
 public:
  enum class State : uint8_t { kLogin, kPreparing, kReady, kAsking };

  Client(Clients& clients, int fd, bool is_slow)
      : Socket(clients.poller_, fd), slow(is_slow), clients_(clients) {
    Send(StartupMessage());
  }

  State state = State::kLogin;
  const bool slow;
  Nanos due = 0;
  char key[kKeyDigits];
  int rows = 0;  // of the answer

 protected:
  size_t OnBytes(std::string_view bytes) override {
    const size_t all = bytes.size();
    char type = 0;
    std::string_view body;
    while (NextMessage(bytes, type, body)) OnMessage(type, body);
    return all - bytes.size();
  }
  void OnEnd(int error) override {
    Fail(Cat("a client's connection ended: ",
             std::string_view(error == 0 ? "closed by the peer" : std::strerror(error))));
  }

 private:
  void OnMessage(char type, std::string_view body) {
    switch (type) {
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
          Send(ParseMessage("P0"));
          return;
        }
        return clients_.OnReady(*this);
      case State::kPreparing:
        return clients_.OnReady(*this);
      case State::kAsking:
        if (rows != (slow ? kBigRows : 1)) Fail(Cat("an answer of ", rows, " rows came"));
        return clients_.OnAnswer(*this);
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
};

Clients::Clients(Poller& poller, const engine::Address& address, Mode mode, Latencies& latencies,
                 uint32_t late_every)
    : poller_(poller),
      address_(address),
      mode_(mode),
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
  clients_.push_back(std::make_unique<Client>(*this, fd, slow));
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
  client.Send((client.slow ? big_question_ : question_).With({client.key, kKeyDigits}));
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
