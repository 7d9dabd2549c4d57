// The client's settings: what its texts may have changed, and how another backend is brought to the
// same. What has become of them is asked in requests_values.cc.
//
// Enter: before the client's first message on a backend whose session is in another profile, the
// difference is replayed, in the same send. The server would run the client's message also behind a
// replay that failed, in the wrong schema or as the wrong role: so the replay is fenced by
// exit_on_error, which turns its failure into the end of the session. Settings whose value the
// catalogue decides, or on which lexing depends, are waited for instead.
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "engine/base/text.h"
#include "protocol/postgres/encode.h"
#include "protocol/postgres/format.h"
#include "protocol/postgres/own_messages.h"
#include "protocol/postgres/request_cursor.h"
#include "protocol/postgres/requests.h"
#include "protocol/postgres/sql_settings.h"
#include "protocol/wire/cursor.h"

namespace weir::postgres {

using protocol::TakeStatus;

namespace {

bool In(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Their replay is waited for. (plpgsql is loaded when it is used: the same name may be one that
// anybody may make on one backend, and none at all on another.)
bool TakesRoundTrip(std::string_view name) {
  return In(name, {"role", "session_authorization", "default_tablespace", "temp_tablespaces",
                   "default_table_access_method", "default_text_search_config"}) ||
         ShapesLexing(name) || name.starts_with("plpgsql.");
}

bool IsRole(std::string_view name) { return In(name, {"role", "session_authorization"}); }

// One that plpgsql does not know, though it begins like its own. Until a session loads plpgsql,
// anybody may make it there; then it is taken away, with a warning to whoever has come by this
// session.
bool AwaitsCode(std::string_view name) {
  constexpr std::string_view kPrefix = "plpgsql.";
  return name.starts_with(kPrefix) &&
         !In(name.substr(kPrefix.size()), {"check_asserts", "extra_errors", "extra_warnings",
                                           "print_strict_params", "variable_conflict"});
}

}  // namespace

// A statement of weir's own with a Sync of its own. Short ones that come again and again stay
// prepared on the backend.
void PostgresRequests::SendOwn(Cursor& cursor, std::string_view sql, OwnPurpose purpose,
                               OwnParameters parameters) {
  static constexpr std::string_view kNoTypes("\0\0\0", 3);
  PostgresReplies& backend = *cursor.backend;
  const Statement* statement = nullptr;
  if (backend.settled()) backend.ForgetAnswers();
  if (purpose == OwnPurpose::kFencedReplay && parameters.size() <= 32) {
    const std::string tail = engine::Cat(sql, kNoTypes);
    statement = context_.statements.Find(tail, {});
    if (statement == nullptr) statement = context_.statements.Intern(tail, {}, {});
  }
  if (statement == nullptr) {
    const bool close_first = backend.PushOwnStatement(/*sync=*/true, purpose);
    cursor.Insert(
        OwnStatementMessages(sql, {.sync = true, .close_first = close_first}, parameters));
    return;
  }
  if (backend.prepared().Contains(statement->id)) {
    backend.prepared().Touch(statement->id);
  } else {
    Prepare(cursor, *statement, OwedTo::kWeir, false, purpose);
  }
  context_.scratch.clear();
  AppendOwnExecution(context_.scratch, ServerName(statement->id), parameters);
  cursor.Insert(context_.scratch);
  backend.PushOwnExecution(purpose);
}

PostgresRequests::Step PostgresRequests::Enter(Cursor& cursor) {
  PostgresReplies& backend = *cursor.backend;
  if (entry_ == Entry::kWaiting) {
    if (!backend.quiet()) return Await(cursor);
    if (!backend.own_statement_failed()) {
      entry_ = Entry::kEntered;
      if (backend.InProfile(profile_)) careful_profile_ = 0;
      return Step::kTaken;
    }
    entry_ = Entry::kDone;
    backend.ForgetProfile();
    const bool less = DropRefused(backend.own_error());
    careful_profile_ = profile_.id();
    if (!less) {
      cursor.result.status = TakeStatus::kRefused;
      return Step::kStop;
    }
    entry_ = Entry::kDue;
  }
  exempt_ = false;
  if (backend.InProfile(profile_)) {
    entry_ = Entry::kDone;
    return Step::kTaken;
  }
  CHECK(backend.settled());
  const bool careful = careful_profile_ != 0 && careful_profile_ == profile_.id();
  const bool text = cursor.type == frontend::kQuery || cursor.type == frontend::kParse;
  if (careful && text && !cursor.complete() && cursor.whole <= context_.options.scan_limit)
    return Need(cursor, cursor.whole);
  // Settings that cannot be replayed can still be changed by the client.
  ProfileRef target = careful ? WithoutWhatItSets(cursor) : profile_;
  if (!(target == profile_) && cursor.type == frontend::kParse) {
    const Alone alone = StandsAlone(cursor);
    if (alone == Alone::kUnknown) return Need(cursor, cursor.left() + 1);
    if (alone == Alone::kNo) target = profile_;
  }
  exempt_ = !(target == profile_);
  const bool waits = Replay(cursor, target, careful);
  backend.set_profile(target);
  entry_ = waits ? Entry::kWaiting : Entry::kEntered;
  return entry_ == Entry::kWaiting ? Await(cursor) : Step::kTaken;
}

// A setting of the user's own that this backend refuses, because code that is loaded there knows
// all names that begin so: as in a session that loads it then, what was set before is gone. True if
// it was one.
bool PostgresRequests::DropRefused(std::string_view error) {
  const std::string_view body = error.substr(std::min<size_t>(kHeader, error.size()));
  const std::string_view code = ErrorField(body, 'C');
  if (code != "42602" && code != "22023") return false;
  const std::string_view text = ErrorField(body, 'M');
  std::string refused;
  for (const Setting& each : profile_.settings()) {
    if (each.name.find('.') != std::string::npos && each.name.size() > refused.size() &&
        text.find(each.name) != std::string_view::npos)
      refused = each.name;
  }
  if (refused.empty()) return false;
  for (ProfileRef* each : {&profile_, &base_}) {
    Settings left = each->settings();
    std::erase_if(left, [&](const Setting& setting) { return setting.name == refused; });
    *each = context_.profiles.Intern(std::move(left));
  }
  return true;
}

// The client's profile but for the settings that its next message is about to change.
ProfileRef PostgresRequests::WithoutWhatItSets(Cursor& cursor) const {
  std::string_view text;
  if (cursor.type == frontend::kQuery && cursor.complete()) {
    text = cursor.body();
  } else if (cursor.type == frontend::kParse && cursor.complete()) {
    text = cursor.body().substr(std::min(cursor.body().find('\0') + 1, cursor.body().size()));
  }
  text = text.substr(0, text.find('\0'));
  const LexMode mode = cursor.backend->lex_mode();
  const Verdict verdict = Scan(text, mode);
  if (verdict.statements != 1 || (verdict.flags & Verdict::kSets) == 0) return profile_;
  const SettingNames found = SettingsOf(text, mode);
  Settings left;
  for (const Setting& each : profile_.settings()) {
    const bool named =
        std::find(found.names.begin(), found.names.end(), each.name) != found.names.end();
    const bool reset = IsRole(each.name) ? found.roles : found.all;
    if (!named && !reset) left.push_back(each);
  }
  return context_.profiles.Intern(std::move(left));
}

// Whether the Parse at the cursor begins a batch that runs its statement and nothing else: Bind,
// perhaps Describe, Execute, Sync.
PostgresRequests::Alone PostgresRequests::StandsAlone(const Cursor& cursor) const {
  const std::string_view name = cursor.body().substr(0, cursor.body().find('\0'));
  std::string_view left = engine::AsText(cursor.in).substr(cursor.position + cursor.whole);
  for (uint8_t due = frontend::kBind;;) {
    if (left.size() < kHeader) return Alone::kUnknown;
    const uint8_t type = static_cast<uint8_t>(left[0]);
    protocol::Cursor header(left.substr(1));
    const uint32_t length = header.U32();
    const bool describes = type == frontend::kDescribe && due != frontend::kSync;
    if ((type != due && !describes) || length < 4 || length > context_.options.scan_limit)
      return Alone::kNo;
    if (type == frontend::kSync) return Alone::kYes;
    if (left.size() < length + 1) return Alone::kUnknown;
    protocol::Cursor body(left.substr(kHeader, length - 4));
    left.remove_prefix(length + 1);
    const bool statement = describes && body.U8() == 'S';
    if (type == frontend::kBind) body.CString();  // its portal
    if ((statement || type == frontend::kBind) && body.CString() != name) return Alone::kNo;
    if (type == frontend::kBind) due = frontend::kExecute;
    if (type == frontend::kExecute) due = frontend::kSync;
  }
}

// Sends what brings the backend's session from its profile to `target`. True if its answer is
// waited for.
bool PostgresRequests::Replay(Cursor& cursor, const ProfileRef& target, bool careful) {
  static const Settings kNone;
  PostgresReplies& backend = *cursor.backend;
  const Settings& initial = backend.initial();
  // What was set under another role may need that role's rights to be taken back; RESET ALL needs
  // none.
  const bool known = backend.profile_known() && ValueOf(backend.settings(), "role") == nullptr &&
                     ValueOf(backend.settings(), "session_authorization") == nullptr;
  Settings merged[2];
  if (!initial.empty()) {
    merged[0] = Over(initial, backend.settings());
    merged[1] = Over(initial, target.settings());
  }
  const Settings& before = initial.empty() ? backend.settings() : merged[0];
  const Settings& from = known ? before : kNone;
  const Settings& to = initial.empty() ? target.settings() : merged[1];
  const std::vector<SettingChange> changes = Difference(from, to);
  const bool waits = careful || !known ||
                     std::any_of(changes.begin(), changes.end(), [](const SettingChange& each) {
                       return TakesRoundTrip(each.name);
                     });
  const OwnPurpose purpose = waits ? OwnPurpose::kReplay : OwnPurpose::kFencedReplay;
  if (!known) {
    SendOwn(cursor, "RESET SESSION AUTHORIZATION", purpose);
    SendOwn(cursor, "RESET ALL", purpose);
  }
  if (!changes.empty() && !WEIR_FAULT("profile_not_replayed"))
    SendChanges(cursor, from, to, changes, purpose);
  return waits && backend.owed() > 0;
}

void PostgresRequests::SendChanges(Cursor& cursor, const Settings& from, const Settings& to,
                                   const std::vector<SettingChange>& changes, OwnPurpose purpose) {
  const bool fenced = purpose == OwnPurpose::kFencedReplay;
  // The values are sent in the encoding that they were read in: it comes first.
  Calls calls;
  for (const SettingChange& each : changes) {
    if (each.name != "client_encoding") continue;
    calls = {each.name, each.value == nullptr ? std::optional<std::string_view>() : *each.value};
    SendOwn(cursor, SetConfigs(calls), purpose, calls);
  }
  calls.clear();
  if (fenced) calls.insert(calls.end(), {kFence, "on"});
  const std::string* role = ValueOf(to, "role");
  const std::string* authorization = ValueOf(to, "session_authorization");
  const bool roles = role != nullptr || authorization != nullptr ||
                     ValueOf(from, "role") != nullptr ||
                     ValueOf(from, "session_authorization") != nullptr;
  // Everything else is set as the user who has logged in.
  if (roles) calls.insert(calls.end(), {"role", "none", "session_authorization", std::nullopt});
  for (const SettingChange& each : changes) {
    if (each.name == "client_encoding" || IsRole(each.name) || each.name == kFence) continue;
    calls.emplace_back(each.name);
    calls.push_back(each.value == nullptr ? std::optional<std::string_view>() : *each.value);
  }
  if (authorization != nullptr)
    calls.insert(calls.end(), {"session_authorization", *authorization});
  if (role != nullptr) calls.insert(calls.end(), {"role", *role});
  const std::string* fence = ValueOf(to, kFence);
  if (fenced || fence != nullptr || ValueOf(from, kFence) != nullptr)
    calls.insert(calls.end(), {kFence, fence == nullptr ? std::string_view("off") : *fence});
  if (!calls.empty()) SendOwn(cursor, SetConfigs(calls), purpose, calls);
}

// A text that is about to run may change settings. The reason if they cannot be kept in a profile.
PinSet PostgresRequests::MarkSettings(Cursor& cursor, const Verdict& verdict,
                                      std::string_view text) {
  SettingNames found = SettingsOf(text, cursor.backend->lex_mode());
  // What is in the profile stays there.
  for (std::string& each : found.placeholders) {
    if (profile_.Find(each) == nullptr) found.names.push_back(std::move(each));
  }
  MarkResets(found);
  if (!found.unknown && found.names.empty() && !found.all && !found.shapes_lexing &&
      !found.shapes_literals)
    return 0;
  if (touched_ == nullptr) touched_ = std::make_unique<Touched>();
  settings_unknown_ = settings_unknown_ || found.unknown;
  constexpr uint16_t kDiscardAll = Verdict::kDropsStatements | Verdict::kResets;
  const bool discards = verdict.statements == 1 && (verdict.flags & kDiscardAll) == kDiscardAll;
  touched_->discarded = discards || (touched_->discarded && !found.unknown);
  touched_->all = touched_->all || found.all;
  touched_->lexing = touched_->lexing || found.shapes_lexing;
  touched_->literals = touched_->literals || found.shapes_literals;
  std::vector<std::string>& names = touched_->names;
  names.insert(names.end(), found.names.begin(), found.names.end());
  for (const std::string& each : found.names) {
    if (each.find('.') != std::string::npos && context_.custom_settings.size() < kSettingsMax)
      context_.custom_settings.insert(each);
  }
  if (names.size() > kSettingsMax) {
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
  }
  // What is too much to be remembered is not known.
  if (names.size() > kNamesMax) {
    names.resize(kNamesMax);
    settings_unknown_ = true;
  }
  const bool seeds = std::find(found.names.begin(), found.names.end(), "seed") != found.names.end();
  const bool awaits = std::any_of(found.names.begin(), found.names.end(), AwaitsCode);
  return (seeds ? Only(PinReason::kSeed) : 0) | (awaits ? Only(PinReason::kLoad) : 0) |
         (settings_unknown_ || !std::none_of(names.begin(), names.end(), CannotReplay) ||
                  names.size() > kSettingsMax
              ? Only(PinReason::kSettings)
              : 0);
}

// A setting that decides how texts are lexed is on its way: this text waits for it, or, if it will
// not be answered before a Sync, cannot be read.
bool PostgresRequests::LexingUncertain(Cursor& cursor) {
  if (touched_ == nullptr || !touched_->lexing) return false;
  PostgresReplies& backend = *cursor.backend;
  if (backend.requests_owed() > 0 && !backend.copy_in()) return true;
  if (backend.open_batch()) {
    suspects_ |= Only(PinReason::kUnreadable);
    if (marks_.pin_reason == 0) marks_.pin_reason = static_cast<uint8_t>(PinReason::kUnreadable);
  }
  return false;
}

}  // namespace weir::postgres
