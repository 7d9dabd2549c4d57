// The client's base: what its session begins with, and what its resets go back to.
//
// A backend's own resets know nothing of it. Behind a message that resets settings of the base, or
// may have, weir sets them again, before the client's next message: in the same batch, if that goes
// on; else when the message has been answered, so that a transaction block takes both back
// together. Where it is certain that the message has reset them they are just set. Elsewhere the
// server is asked which of them are not the session's own now.
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "engine/base/text.h"
#include "protocol/postgres/format.h"
#include "protocol/postgres/own_messages.h"
#include "protocol/postgres/request_cursor.h"
#include "protocol/postgres/requests.h"

namespace weir::postgres {

namespace {

constexpr std::string_view kEncodingName = "client_encoding";

// Sets what has been reset. RESET leaves a setting with another source than the session (one that
// is `masked`, with the value that it has been reset to); one of the user's own, which is in no
// catalogue, empty.
std::string SetWhatIsReset(const Calls& calls, const std::vector<bool>& masked, bool local) {
  std::string sql =
      "WITH s AS MATERIALIZED (SELECT pg_catalog.lower(name) AS name, source <> 'session' AS gone, "
      "source <> 'session' OR setting = reset_val AS gone_or_masked "
      "FROM pg_catalog.pg_settings) SELECT ";
  for (size_t i = 1; i < calls.size(); i += 2) {
    engine::Append(sql, i > 1 ? "," : "", "CASE WHEN coalesce((SELECT ",
                   masked[i / 2] ? "gone_or_masked" : "gone", " FROM s WHERE s.name = $", i,
                   "), coalesce(pg_catalog.current_setting($", i, ",true),'') = '') THEN ",
                   "pg_catalog.set_config($", i, ",$", i + 1, local ? ",true) END" : ",false) END");
  }
  return sql;
}

// It changes how results look, or how they are come by, not what a statement does.
bool OnlyShows(std::string_view name) {
  static constexpr std::string_view kNames[] = {
      "application_name", "bytea_output",       "client_encoding", "client_min_messages",
      "datestyle",        "extra_float_digits", "intervalstyle",   "lc_messages",
      "timezone",         "xmlbinary"};
  for (const std::string_view front : {"enable_", "geqo", "jit", "log_", "track_"}) {
    if (name.starts_with(front)) return true;
  }
  for (const std::string_view back : {"_cost", "_mem", "_buffers"}) {
    if (name.ends_with(back)) return true;
  }
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

// A Query that fails with this message, which holds no quote.
std::string RaiseError(std::string_view message) {
  const std::string sql =
      engine::Cat("DO $weir$BEGIN RAISE EXCEPTION USING ERRCODE = '0A000', MESSAGE = '", message,
                  "'; END$weir$");
  std::string out(1, static_cast<char>(frontend::kQuery));
  const auto length = static_cast<uint32_t>(sql.size() + 5);
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(length >> shift));
  return out.append(sql).append(1, '\0');
}

}  // namespace

void PostgresRequests::BeginWith(const protocol::Parameters& base) {
  CHECK(base_.settings().empty() && profile_.settings().empty());
  Settings settings;
  for (const auto& [name, value] : base) settings.push_back({name, value});
  base_ = profile_ = context_.profiles.Intern(Sorted(std::move(settings)));
}

const std::string* PostgresRequests::BaseValue(std::string_view name) const {
  std::string folded(name);
  for (char& c : folded) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  return base_.Find(folded);
}

// What a text that goes on behind a reset resets of the client's base, if that could be more than
// another form of the result (another schema, another tenant): until its end the server's own
// values would hold. nullptr: nothing.
const Setting* PostgresRequests::ResetEarly(Cursor& cursor, const Verdict& verdict,
                                            std::string_view text) const {
  if ((verdict.flags & Verdict::kSets) == 0 || verdict.statements < 2 || base_.settings().empty())
    return nullptr;
  const SettingNames found = SettingsOf(text, cursor.backend->lex_mode());
  if (!found.resets_first) return nullptr;
  const Setting* risky = nullptr;
  for (const Setting& each : base_.settings()) {
    const bool reset = found.all || std::any_of(found.resets.begin(), found.resets.end(),
                                                [&](const SettingNames::Reset& other) {
                                                  return other.name == each.name;
                                                });
    if (reset && !OnlyShows(each.name)) risky = &each;
  }
  return risky;
}

// A backend that begins with the client's base gives it the same session: what weir sets itself on
// backends, or init_query, is none of the base.
bool PostgresRequests::CanMoveBase(PostgresReplies& backend) const {
  return std::none_of(base_.settings().begin(), base_.settings().end(), [&](const Setting& each) {
    return each.name == kIdleTimeout || each.name == kFence ||
           ValueOf(backend.initial(), each.name) != nullptr;
  });
}

// Nothing of the client's is on this backend, or under way.
bool PostgresRequests::MayMove(PostgresReplies& backend) const {
  return backend.quiet() && backend.transaction_status() == protocol::TransactionStatus::kIdle &&
         texts_ == 0 && (stands_ | suspects_) == 0 && touched_ == nullptr &&
         named_touched_ == nullptr && rebase_ == nullptr && !exempt_ && !settings_unknown_ &&
         CanMoveBase(backend);
}

// For an answer, or the rest of a message that nobody asked for.
bool PostgresRequests::MustWaitToMove(const PostgresReplies& backend) {
  return (backend.requests_owed() > 0 && !backend.copy_in()) ||
         (backend.settled() && !backend.quiet());
}

PostgresRequests::Step PostgresRequests::NeedAnother(Cursor& cursor) {
  cursor.result.status = protocol::TakeStatus::kNeedsAnother;
  entry_ = Entry::kDone;
  return Step::kStop;
}

protocol::Parameters PostgresRequests::MoveBase() {
  protocol::Parameters base;
  Settings left = profile_.settings();
  for (const Setting& each : base_.settings()) {
    base.emplace_back(each.name, each.value);
    std::erase(left, each);
  }
  base_ = {};
  profile_ = context_.profiles.Intern(std::move(left));
  moves_base_ = false;
  return base;
}

// The server is asked for an error instead, so that a transaction block fails with it. Behind that
// the client may move.
void PostgresRequests::RefuseEarlyReset(Cursor& cursor, const Setting& setting,
                                        bool unnamed_change) {
  moves_base_ = CanMoveBase(*cursor.backend);
  cursor.Skip(cursor.whole);
  cursor.Insert(RaiseError(
      engine::Cat("this connection began with a setting of its own (", setting.name,
                  "), which weir cannot give back to it here before the query is over: send what "
                  "resets it, and what comes behind that, as separate queries, or all of it again "
                  "when the transaction is over")));
  cursor.backend->Push({.kind = OwedKind::kQuery, .unnamed_change = unnamed_change});
}

// A text that is about to run, or is bound to, resets settings.
void PostgresRequests::MarkResets(const SettingNames& found) {
  if (base_.settings().empty() || WEIR_FAULT("base_not_restored")) return;
  std::vector<Rebase::Name> names;
  for (const Setting& each : base_.settings()) {
    if (found.all) names.push_back({.name = each.name});
  }
  for (const SettingNames::Reset& each : found.resets) {
    if (!found.all && base_.Find(each.name) != nullptr)
      names.push_back({.name = each.name, .local = each.local});
  }
  for (Rebase::Name& each : names) {
    each.masked =
        std::find(found.masked.begin(), found.masked.end(), each.name) != found.masked.end();
  }
  if (names.empty()) return;
  const bool first = rebase_ == nullptr;
  if (first) rebase_ = std::make_unique<Rebase>();
  rebase_->certain = first && found.only_resets;
  for (Rebase::Name& each : names) {
    const auto known = std::find_if(rebase_->names.begin(), rebase_->names.end(),
                                    [&](const auto& other) { return other.name == each.name; });
    if (known == rebase_->names.end()) {
      rebase_->names.push_back(std::move(each));
    } else {
      known->local = known->local && each.local;
      known->masked = known->masked || each.masked;
    }
  }
}

// The text has just been sent as a Query. Whether it certainly resets, and nothing else.
bool PostgresRequests::RebaseQuery() {
  if (rebase_ == nullptr) return false;
  rebase_->state = Rebase::State::kSent;
  return rebase_->certain;
}

// Which portal it was is not known: it is asked what has become of it.
void PostgresRequests::RebaseExecuted() {
  if (rebase_ == nullptr) return;
  rebase_->state = Rebase::State::kInBatch;
  rebase_->certain = false;
}

// Before the client's next message. False: that waits until the server has answered.
bool PostgresRequests::RestoreBase(Cursor& cursor) {
  PostgresReplies& backend = *cursor.backend;
  const bool in_batch = rebase_->state == Rebase::State::kInBatch;
  if (in_batch) {
    // If the server skips what is left of the batch, it has skipped the reset, or undone it.
    rebase_->state = Rebase::State::kSent;
    if (!backend.skipping() && backend.open_batch()) {
      SendBase(cursor, /*sync=*/false);
      return true;
    }
  }
  const bool later = rebase_->state == Rebase::State::kBound || backend.copy_in() ||
                     backend.open_batch() || backend.skipping();
  if (!later && backend.requests_owed() > 0) return false;
  // In the transaction the other value holds.
  const bool idle = backend.transaction_status() == protocol::TransactionStatus::kIdle;
  const auto waits = [](const Rebase::Name& each) { return each.masked && !each.local; };
  if (!idle && std::all_of(rebase_->names.begin(), rebase_->names.end(), waits)) return true;
  // In a transaction that has failed nothing can be set; when it is over, it is looked at again.
  if (later || backend.transaction_status() == protocol::TransactionStatus::kFailed) {
    rebase_->certain = false;
  } else {
    SendBase(cursor, /*sync=*/true);
  }
  return true;
}

// Between transactions: what was for a transaction only is over. True if something has been sent.
bool PostgresRequests::RestoreBaseWhenIdle(Cursor& cursor) {
  if (rebase_ == nullptr) return false;
  std::erase_if(rebase_->names, [](const auto& each) { return each.local; });
  if (rebase_->names.empty()) {
    rebase_.reset();
    return false;
  }
  SendBase(cursor, /*sync=*/true);
  return true;
}

void PostgresRequests::SendBase(Cursor& cursor, bool sync) {
  const std::unique_ptr<Rebase> rebase = std::move(rebase_);
  PostgresReplies& backend = *cursor.backend;
  const bool certain = rebase->certain && touched_ != nullptr && !touched_->failed;
  // What is set for the transaction, too, can be told only when that is over.
  const bool idle =
      backend.settled() && backend.transaction_status() == protocol::TransactionStatus::kIdle;
  Rebase later;
  std::erase_if(rebase->names, [&](const Rebase::Name& each) {
    const bool waits = !idle && each.masked && !each.local;
    if (waits) later.names.push_back(each);
    return waits;
  });
  if (!later.names.empty()) {
    later.state = Rebase::State::kSent;
    rebase_ = std::make_unique<Rebase>(std::move(later));
  }
  const auto restore = [&](bool encoding, bool local) {
    Calls calls;
    std::vector<bool> masked;
    for (const Rebase::Name& each : rebase->names) {
      if (each.local != local || (each.name == kEncodingName) != encoding) continue;
      masked.push_back(each.masked);
      calls.emplace_back(each.name);
      calls.emplace_back(*base_.Find(each.name));
    }
    if (calls.empty()) return;
    const bool close_first = backend.PushOwnStatement(sync, OwnPurpose::kRebase);
    cursor.Insert(OwnStatementMessages(
        certain ? SetConfigs(calls, local) : SetWhatIsReset(calls, masked, local),
        {.sync = sync, .close_first = close_first, .close_portal = true}, calls));
  };
  backend.ForgetAnswers();
  for (const bool local : {false, true}) {
    // The values are in the client's encoding: it comes first.
    restore(/*encoding=*/true, local);
    restore(/*encoding=*/false, local);
  }
}

}  // namespace weir::postgres
