// The ends of an exchange: the server is gone, the client is gone; and statements of weir's own.
#include <cstdint>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "protocol/postgres/format.h"
#include "protocol/postgres/own_messages.h"
#include "protocol/postgres/replies.h"

namespace weir::postgres {

using protocol::ExchangeSink;

bool PostgresReplies::FailOwed(Bytes error, ExchangeSink& sink) {
  static constexpr uint8_t kReady[] = {backend::kReadyForQuery, 0, 0, 0, 5, 'I'};
  bool told = skipping_;  // the open batch has had its error
  Undone undone;
  bool refused = !told;
  if (!fatal_error_.empty() && !owed_.empty() && listener_ != nullptr &&
      owed_.Front().purpose == OwnPurpose::kFencedReplay)
    listener_->OnReplayFailed();
  for (; !owed_.empty(); owed_.PopFront()) {
    const Owed& owed = owed_.Front();
    Undo(owed, std::exchange(refused, false), undone);
    if (owed.owner != OwedTo::kClient) continue;
    if (!told && !owed.failed) sink.InsertToClient(error);
    told = true;
    if (!EndsRequest(owed.kind)) continue;
    sink.InsertToClient(kReady);
    told = false;
  }
  requests_owed_ = own_requests_owed_ = changes_owed_ = discards_owed_ = places_owed_ = 0;
  TellUndone(undone);
  const bool open = open_batch_;
  if (open && !told) sink.InsertToClient(error);
  open_batch_ = skipping_ = copy_in_ = false;
  return open;
}

bool PostgresReplies::FinishAbandoned(bool mid_message, ExchangeSink& sink) {
  if (mid_message) return false;
  if (copy_in_) {
    static constexpr uint8_t kCopyFail[] = {'f', 0,   0,   0,   20,  'c', 'l', 'i', 'e', 'n', 't',
                                            ' ', 'h', 'a', 's', ' ', 'g', 'o', 'n', 'e', 0};
    sink.InsertToServer(kCopyFail);
    copy_in_ = false;
  }
  if (open_batch_) {
    static constexpr uint8_t kSync[] = {frontend::kSync, 0, 0, 0, 4};
    sink.InsertToServer(kSync);
    Push({.kind = OwedKind::kSync, .owner = OwedTo::kNobody});
  }
  return true;
}

void PostgresReplies::OwnStatement(std::string_view sql, ExchangeSink& sink) {
  CHECK(settled());
  ForgetAnswers();
  const bool close_first = PushOwnStatement(/*sync=*/true);
  sink.InsertToServer(
      engine::AsBytes(OwnStatementMessages(sql, {.sync = true, .close_first = close_first})));
}

bool PostgresReplies::PushOwnStatement(bool sync, OwnPurpose purpose, bool discards_sequences) {
  const auto push = [&](OwedKind kind) {
    Push({.kind = kind,
          .owner = OwedTo::kWeir,
          .discards_sequences = discards_sequences && kind == OwedKind::kExecute,
          .purpose = purpose});
  };
  const bool close_first = std::exchange(own_name_left_, false);
  const bool close_portal =
      purpose == OwnPurpose::kRebase || purpose == OwnPurpose::kPlace || discards_sequences;
  if (close_first) push(OwedKind::kClose);
  push(OwedKind::kParse);
  push(OwedKind::kBind);
  push(OwedKind::kExecute);
  if (close_portal) push(OwedKind::kClose);
  push(OwedKind::kClose);
  if (sync) push(OwedKind::kSync);
  if (purpose == OwnPurpose::kQuestion) answers_.emplace_back();
  return close_first;
}

void PostgresReplies::OnDiscarded() {
  CHECK(settled());
  if (!WEIR_FAULT("discarded_statements_trusted")) prepared_.Clear();
  named_.Clear();
  forgotten_.clear();
  close_first_ = false;
  sequence_owner_ = 0;
  // What init_query has set has gone, too.
  ForgetProfile();
}

void PostgresReplies::PushOwnExecution(OwnPurpose purpose) {
  for (const OwedKind kind : {OwedKind::kBind, OwedKind::kExecute, OwedKind::kSync})
    Push({.kind = kind, .owner = OwedTo::kWeir, .purpose = purpose});
}

void PostgresReplies::ForgetAnswers() {
  own_error_.reset();
  answers_.clear();
  answered_ = 0;
}

const PostgresReplies::Answer& PostgresReplies::first_answer() const {
  CHECK(!answers_.empty() && answered_ == answers_.size());
  return answers_.front();
}

const PostgresReplies::Answer& PostgresReplies::last_answer() const {
  CHECK(!answers_.empty() && answered_ == answers_.size());
  return answers_.back();
}

void PostgresReplies::Leave() {
  CHECK(settled());
  carried_ = profile_.settings();
  profile_ = {};
  catalogue_ = nullptr;
}

void PostgresReplies::Arrive(ProfileTable& profiles) {
  profile_ = profiles.Intern(std::move(carried_));
  carried_.clear();
}

}  // namespace weir::postgres
