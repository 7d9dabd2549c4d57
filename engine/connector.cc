#include "engine/connector.h"

#include <netdb.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "engine/base/text.h"

namespace weir::engine {

// Looks a name up where it may block.
class ResolveJob final : public Job {
 public:
  ResolveJob(Connector* connector, std::string host, uint16_t port)
      : connector_(connector), host_(std::move(host)), port_(port) {}

  void Run() override {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG;
    addrinfo* found = nullptr;
    const int error = getaddrinfo(host_.c_str(), Cat(port_).c_str(), &hints, &found);
    if (error != 0) {
      error_ = gai_strerror(error);
      return;
    }
    for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
      addresses_.emplace_back(each->ai_addr, each->ai_addrlen);
    }
    freeaddrinfo(found);
  }
  void Done() override {
    if (connector_ == nullptr) return;
    connector_->job_ = nullptr;
    connector_->OnResolved(std::move(addresses_), error_);
  }
  void Forget() { connector_ = nullptr; }

 private:
  Connector* connector_;  // read and written on the shard only
  const std::string host_;
  const uint16_t port_;
  std::vector<Address> addresses_;
  std::string error_;
};

Connector::~Connector() {
  CHECK(!connect_.in_flight() && fd_ < 0);
  if (job_ != nullptr) job_->Forget();
  if (shard_ != nullptr) shard_->timers().Cancel(timer_);
}

void Connector::Start(Shard& shard, const std::string& host, uint16_t port, Nanos deadline,
                      Events& events) {
  CHECK(state_ == State::kNone);
  shard_ = &shard;
  events_ = &events;
  deadline_ = deadline;
  timed_out_ = false;
  next_ = 0;
  connect_.Bind<&Connector::OnConnect>(*this);
  timer_.Bind(Callback::To<&Connector::OnTimer>(*this));
  const absl::StatusOr<Address> numeric =
      Address::FromHost(host == "localhost" ? "127.0.0.1" : host, port);
  shard.timers().Arm(timer_, deadline);
  if (numeric.ok()) {
    addresses_ = {*numeric};
    state_ = State::kConnecting;
    TryNext();
    return;
  }
  where_ = Cat(host, ":", port);
  state_ = State::kResolving;
  auto job = std::make_unique<ResolveJob>(this, host, port);
  job_ = job.get();
  shard.worker().Submit(shard.id(), std::move(job));
}

void Connector::OnResolved(std::vector<Address> addresses, const std::string& error) {
  if (state_ != State::kResolving) return;
  if (addresses.empty()) {
    FailLater(EHOSTUNREACH, Cat("cannot look up ", where_, ": ", error));
    return;
  }
  addresses_ = std::move(addresses);
  state_ = State::kConnecting;
  TryNext();
}

void Connector::TryNext() {
  while (next_ < addresses_.size()) {
    const Address& address = addresses_[next_++];
    where_ = address.ToString();
    fd_ = shard_->io().OpenSocket(address);
    if (fd_ >= 0) {
      shard_->io().Connect(fd_, address, connect_);
      return;
    }
    error_ = -std::exchange(fd_, -1);
  }
  FailLater(error_, Cat("cannot open a socket for ", where_, ": ",
                        std::string_view(std::strerror(error_))));
}

void Connector::OnConnect(const Completion& completion) {
  const int fd = std::exchange(fd_, -1);
  if (state_ == State::kConnecting && !timed_out_ && completion.result == 0) {
    shard_->timers().Cancel(timer_);
    state_ = State::kNone;
    events_->OnConnected(fd);
    return;
  }
  shard_->io().Close(fd);
  if (state_ == State::kConnecting && !timed_out_ && next_ < addresses_.size()) {
    TryNext();
    return;
  }
  error_ = timed_out_ ? ETIMEDOUT : -completion.result;
  text_ = Cat(
      "cannot connect to ", where_, ": ",
      timed_out_ ? std::string_view("no answer in time") : std::string_view(std::strerror(error_)));
  Answer();
}

// Failures without an operation in flight are told by timer: never from inside Start or Cancel.
void Connector::FailLater(int error, std::string text) {
  error_ = error;
  text_ = std::move(text);
  if (state_ != State::kCancelling) state_ = State::kFailing;
  shard_->timers().Arm(timer_, shard_->now());
}

void Connector::OnTimer() {
  switch (state_) {
    case State::kNone:
      return;
    case State::kResolving:
      if (job_ != nullptr) job_->Forget();
      job_ = nullptr;
      error_ = ETIMEDOUT;
      text_ = Cat("cannot look up ", where_, ": no answer in time");
      Answer();
      return;
    case State::kConnecting:
      timed_out_ = true;
      shard_->io().Cancel(connect_);
      return;
    case State::kFailing:
    case State::kCancelling:
      if (!connect_.in_flight()) Answer();
      return;
  }
}

void Connector::Cancel() {
  CHECK(active());
  if (state_ == State::kCancelling) return;
  state_ = State::kCancelling;
  if (job_ != nullptr) job_->Forget();
  job_ = nullptr;
  if (connect_.in_flight()) {
    shard_->io().Cancel(connect_);
  } else {
    shard_->timers().Arm(timer_, shard_->now());
  }
}

void Connector::Answer() {
  shard_->timers().Cancel(timer_);
  const bool cancelled = state_ == State::kCancelling;
  state_ = State::kNone;
  if (cancelled) {
    events_->OnCancelled();
  } else {
    events_->OnConnectFailed(error_, text_);
  }
}

}  // namespace weir::engine
