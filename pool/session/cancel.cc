#include "pool/session/cancel.h"

#include <cstdint>
#include <utility>

#include "engine/base/check.h"
#include "pool/session/backend_session.h"
#include "pool/session/client_session.h"

namespace weir::pool {

using Next = protocol::ServerCancel::Next;

namespace {

constexpr uint32_t kSeatBits = 20;
constexpr uint32_t kShardBits = 6;
constexpr engine::Nanos kCancelTimeout = 5 * engine::kSecond;
// Between one and the next; each is twice as long as the one before.
constexpr engine::Nanos kRepeatFirst = 50 * engine::kMillisecond;
constexpr engine::Nanos kRepeatLast = 3200 * engine::kMillisecond;

}  // namespace

uint32_t ClientNumber(uint32_t shard, uint32_t seat) {
  CHECK(shard < 1u << kShardBits && seat + 1 < 1u << kSeatBits);
  return shard << kSeatBits | (seat + 1);
}

void RouteCancel(SessionServices& services, protocol::CancelKey key) {
  const uint32_t shard = key.process_id >> kSeatBits;
  const uint32_t seat = (key.process_id & ((1u << kSeatBits) - 1)) - 1;
  if (shard >= services.shard.count() || (key.process_id & ((1u << kSeatBits) - 1)) == 0) return;
  if (shard == services.shard.id()) {
    CancelClient(services, seat, key.secret);
    return;
  }
  engine::Message message;
  message.kind = kCancelMessage;
  message.words[0] = seat;
  message.words[1] = key.secret;
  services.shard.Post(shard, std::move(message));
}

void CancelClient(SessionServices& services, uint32_t seat, uint32_t secret) {
  if (ClientSession* client = services.clients.FindSeat(seat); client != nullptr)
    client->Cancel(secret);
}

void StartCancel(SessionServices& services, BackendSession& backend) {
  CancelSender& sender = services.cancels.Emplace(services, backend.self(), backend.NewCancel());
  sender.Start(backend.target());
}

CancelSender::CancelSender(SessionServices& services, engine::Handle<BackendSession> backend,
                           std::unique_ptr<protocol::ServerCancel> request)
    : services_(services), backend_(backend), request_(std::move(request)) {
  timer_.Bind(engine::Callback::To<&CancelSender::OnTimer>(*this));
}

CancelSender::~CancelSender() { services_.shard.timers().Cancel(timer_); }

void CancelSender::Start(TargetId target_id) {
  target_ = target_id;
  const TargetOptions& target = services_.config->targets[target_id];
  connector_.Start(services_.shard, target.host, target.port,
                   services_.shard.now() + kCancelTimeout, *this);
}

void CancelSender::OnConnected(int fd) {
  stream_.Attach(services_.shard.streams(), fd, engine::BufferGroup::kBackends, *this);
  services_.shard.timers().Arm(timer_, services_.shard.now() + kCancelTimeout);
  std::string out;
  const Next next = request_->Start(out);
  Continue(next, out);
}

void CancelSender::OnBytes(engine::Slice bytes) {
  std::string out;
  const Next next = request_->OnBytes(bytes.bytes(), out);
  Continue(next, out);
}

void CancelSender::Continue(Next next, const std::string& out) {
  if (!out.empty()) stream_.Queue(engine::AsBytes(out));
  switch (next) {
    case Next::kReceive:
    case Next::kSent:
      return;
    case Next::kStartTls:
      if (const auto& context = services_.TlsOf(target_).context; context != nullptr) {
        stream_.StartTls(context->NewConnection(), {});
      } else {
        stream_.Close();
      }
      return;
    case Next::kFailed:
      stream_.Close();
      return;
  }
}

void CancelSender::OnEncrypted() {
  std::string out;
  const Next next = request_->OnEncrypted(out);
  Continue(next, out);
}

void CancelSender::OnTimer() {
  unanswered_ = true;
  stream_.Close();
}

void CancelSender::OnConnectFailed(int, std::string_view) { Finish(); }
void CancelSender::OnCancelled() { Finish(); }

// The server answers a cancel by closing.
void CancelSender::OnEnd(engine::StreamEnd) { stream_.Close(); }
void CancelSender::OnClosed() { Finish(); }

CancelRepeat::CancelRepeat(SessionServices& services, BackendSession& backend)
    : services_(services),
      backend_(backend),
      request_(backend.replies().requests_ended()),
      pause_(kRepeatFirst) {
  timer_.Bind(engine::Callback::To<&CancelRepeat::OnTimer>(*this));
  Arm();
}

CancelRepeat::~CancelRepeat() { services_.shard.timers().Cancel(timer_); }

void CancelRepeat::Arm() { services_.shard.timers().Arm(timer_, services_.shard.now() + pause_); }

void CancelRepeat::OnTimer() {
  const protocol::Replies& replies = backend_.replies();
  if (!replies.client_at_head() || replies.requests_ended() != request_) return;
  backend_.SendCancel();
  pause_ *= 2;
  if (pause_ <= kRepeatLast) Arm();
}

void CancelSender::Finish() {
  SessionServices& services = services_;
  BackendSession* backend = unanswered_ ? nullptr : services.backends.Find(backend_);
  services.cancels.Erase(*this);
  if (backend != nullptr) backend->OnCancelAnswered();
  services.OnConnectionClosed();
}

}  // namespace weir::pool
