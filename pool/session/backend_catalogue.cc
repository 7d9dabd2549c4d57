// A backend that reads its database's catalogue: after its login, between its uses, or while idle.
#include <string>

#include "engine/base/check.h"
#include "pool/session/backend_session.h"

namespace weir::pool {

using Next = protocol::CatalogueReader::Next;

namespace {

// An answer takes no longer; the server gives up earlier.
constexpr engine::Nanos kAnswerTimeout = 15 * engine::kSecond;
// The first client of a database waits so long, so that what it calls is known; and others so long,
// for what DDL has made. Then the rest is asked for between their transactions.
constexpr engine::Nanos kLoginPause = engine::kSecond;
constexpr engine::Nanos kPause = 50 * engine::kMillisecond;

}  // namespace

void BackendSession::KnowCatalogue() {
  catalogue_ = services_.catalogues.Of(services_, route());
  replies_->UseCatalogue(catalogue_ == nullptr ? nullptr : &catalogue_->view);
}

bool BackendSession::ReadCatalogue() {
  CHECK(phase_ == BackendPhase::kReady && client_ == nullptr && reader_ == nullptr);
  if (catalogue_ == nullptr || services_.draining || !replies_->quiet()) return false;
  reader_ = services_.catalogues.Claim(services_, *catalogue_);
  if (reader_ == nullptr) return false;
  Move(BackendPhase::kAsking);
  reads_until_ = services_.shard.now() + (state() == BackendState::kOpening ? kLoginPause : kPause);
  AskOn();
  return true;
}

void BackendSession::AskOn() {
  replies_->ForgetUnnamed();
  services_.shard.timers().Arm(timer_, services_.shard.now() + kAnswerTimeout);
  std::string out;
  login_->AskRows(reader_->Question(replies_->ascii_trailing_bytes()), *reader_, out);
  stream_.Queue(engine::AsBytes(out));
}

// A question has been answered.
void BackendSession::OnRows() {
  services_.shard.timers().Cancel(timer_);
  const Next next = reader_->OnAnswered(login_->rows_failed());
  const bool due = services_.shard.now() < reads_until_;
  if (next == Next::kAsk) {
    const bool alone = state() != BackendState::kOpening && !services_.pool.OthersWait(target());
    if ((due || alone) && !services_.draining) {
      AskOn();
      return;
    }
    services_.catalogues.Park(services_, *catalogue_, std::move(reader_));
    EndReading();
    return;
  }
  const bool waits = due && next == Next::kRead;
  services_.catalogues.End(services_, *catalogue_, next, std::move(reader_),
                           waits ? self() : engine::Handle<BackendSession>());
  if (!waits) {
    EndReading();
    return;
  }
  // Nobody waits longer for it, however busy the machine is.
  awaits_catalogue_ = true;
  services_.shard.timers().Arm(timer_, reads_until_);
}

void BackendSession::OnCatalogueKnown() {
  if (phase_ == BackendPhase::kAsking && awaits_catalogue_) EndReading();
}

void BackendSession::EndReading() {
  CHECK(reader_ == nullptr);
  awaits_catalogue_ = false;
  services_.shard.timers().Cancel(timer_);
  Move(BackendPhase::kReady);
  BeReady();
}

// It is lost: perhaps for what it was asked.
void BackendSession::StopReading() {
  if (reader_ == nullptr) return;
  services_.catalogues.End(services_, *catalogue_, Next::kRefused, std::move(reader_), {});
}

}  // namespace weir::pool
