// What has become of the settings that a client's texts may have changed.
//
// Between transactions their values are read, and those that differ from what RESET would give make
// the profile. Behind code that no text shows, the server is first asked which have been set.
#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "engine/base/text.h"
#include "protocol/postgres/own_messages.h"
#include "protocol/postgres/request_cursor.h"
#include "protocol/postgres/requests.h"

namespace weir::postgres {

namespace {

// Name, value, and where the value is from: NULL if it is what RESET would give, or the name is in
// no catalogue; "super..." if not everybody may set it.
constexpr size_t kSessionColumns = 3;

bool IsRole(std::string_view name) { return name == "role" || name == "session_authorization"; }

// What the session has set, and the settings named $1, $2, ... The role comes last: what it would
// be after a RESET is told by one that ends with the question. What ends with a transaction is no
// setting of the session, and newer servers do not let it be reset.
std::string SessionQuestion(size_t names) {
  std::string sql =
      "WITH s AS MATERIALIZED (SELECT pg_catalog.lower(name) AS n, context "
      "FROM pg_catalog.pg_settings WHERE source = 'session' "
      "AND pg_catalog.left(name, 12) <> 'transaction_') "
      "SELECT n, pg_catalog.current_setting(n,true), context FROM s";
  for (size_t i = 1; i <= names; ++i) {
    engine::Append(sql,
                   i == 1 ? " UNION ALL SELECT n, pg_catalog.current_setting(n,true), NULL "
                            "FROM (VALUES ($"
                          : "),($",
                   i);
  }
  if (names > 0) sql += ")) AS v(n)";
  for (const char* role : {"role", "session_authorization"}) {
    engine::Append(sql, " UNION ALL SELECT '", role, "', pg_catalog.current_setting('", role,
                   "'), CASE WHEN pg_catalog.current_setting('", role,
                   "') <> pg_catalog.set_config('", role, "',NULL,true) THEN 'user' END");
  }
  return sql;
}

}  // namespace

// What the texts have set is not known.
void PostgresRequests::LoseSettings() {
  settings_unknown_ = true;
  touched_.reset();
}

// True if a question has been sent.
bool PostgresRequests::AskSettings(Cursor& cursor) {
  if (WEIR_FAULT("settings_not_asked")) touched_.reset();
  if (touched_ == nullptr) rebase_.reset();
  if (touched_ != nullptr) StepSettings(cursor);
  if (touched_ != nullptr) return true;
  suspects_ &= ~Only(PinReason::kSettings);
  if (context_.options.exclude_variable_sets) ForgetUntracked(*cursor.backend);
  if (!settings_unknown_ && CanReplay()) {
    stands_ &= ~Only(PinReason::kSettings);
  } else {
    stands_ |= Only(PinReason::kSettings);
  }
  return false;
}

// What cannot be set again is given up: the next client, this one too, has it reset.
void PostgresRequests::ForgetUntracked(PostgresReplies& backend) {
  if (!settings_unknown_ && CanReplay()) return;
  Settings kept;
  size_t bytes = 0;
  for (const Setting& each : profile_.settings()) {
    bytes += each.name.size() + each.value.size();
    if (kept.size() < kSettingsMax && bytes <= kSettingsBytesMax && !CannotReplay(each.name))
      kept.push_back(each);
  }
  profile_ = context_.profiles.Intern(std::move(kept));
  settings_unknown_ = false;
  backend.ForgetProfile();
  backend.ForgetPrepared();
}

// All of the profile can be set again on another backend.
bool PostgresRequests::CanReplay() const {
  size_t bytes = 0;
  for (const Setting& each : profile_.settings()) {
    if (CannotReplay(each.name)) return false;
    bytes += each.name.size() + each.value.size();
  }
  return bytes <= kSettingsBytesMax && profile_.settings().size() <= kSettingsMax;
}

// Asks the next question, or keeps what the last has brought.
void PostgresRequests::StepSettings(Cursor& cursor) {
  PostgresReplies& backend = *cursor.backend;
  static const PostgresReplies::Answer kNone;
  const PostgresReplies::Answer& answer =
      touched_->asking == Asking::kNo ? kNone : backend.first_answer();
  switch (touched_->asking) {
    case Asking::kNo:
      if (exempt_ && touched_->failed) {
        // The change that it was let through for: what it had set stays so.
        touched_.reset();
        backend.ForgetProfile();
        return;
      }
      if (touched_->discarded && !touched_->failed) settings_unknown_ = false;
      if (RestoreBaseWhenIdle(cursor)) break;
      if (touched_->opaque) {
        AskAll(cursor);
      } else {
        AskValues(cursor);
      }
      break;
    case Asking::kSession:
      if (!KeepSession(backend)) {
        LoseSettings();
      } else if (!AskDefaults(cursor)) {
        KeepAnswers(backend);
      }
      break;
    case Asking::kValues:
      if (answer.failed || answer.values.size() != touched_->names.size()) {
        LoseSettings();
        return;
      }
      touched_->values = answer.values;
      if (!AskDefaults(cursor)) KeepAnswers(backend);
      break;
    case Asking::kDefaults:
      if (answer.failed) {
        AskWhetherAtDefault(cursor);
      } else {
        KeepAnswers(backend);
      }
      break;
    case Asking::kAtDefault:
      KeepAnswers(backend);
      break;
  }
}

// Which settings has code made that is not seen? Those of the users' own are in no catalogue: they
// are asked for by name.
void PostgresRequests::AskAll(Cursor& cursor) {
  touched_->asking = Asking::kSession;
  std::vector<std::string>& names = touched_->names;
  std::vector<std::string>& guessed = touched_->guessed;
  const auto guess = [&guessed](const auto& all) {
    guessed.insert(guessed.end(), all.begin(), all.end());
  };
  guess(context_.options.custom_settings);
  guess(context_.custom_settings);
  if (cursor.backend->catalogue() != nullptr) guess(cursor.backend->catalogue()->custom_settings());
  // What a text of its own has named is known to be its own.
  std::erase_if(guessed, [&names](const std::string& each) {
    return std::find(names.begin(), names.end(), each) != names.end();
  });
  std::sort(guessed.begin(), guessed.end());
  names.insert(names.end(), guessed.begin(), guessed.end());
  // What it had before may be gone, and what init_query has set.
  for (const Setting& each : profile_.settings()) names.push_back(each.name);
  for (const Setting& each : cursor.backend->initial()) names.push_back(each.name);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::erase_if(names, IsRole);
  SendOwn(cursor, SessionQuestion(names.size()), OwnPurpose::kQuestion,
          Calls(names.begin(), names.end()));
}

// False: it was not answered.
bool PostgresRequests::KeepSession(const PostgresReplies& backend) {
  const auto& [values, failed] = backend.first_answer();
  if (failed || values.empty() || values.size() % kSessionColumns != 0) return false;
  struct Told {
    std::optional<std::string> value;
    bool at_default = true;
    bool privileged = false;
  };
  std::map<std::string, Told, std::less<>> all;
  for (size_t i = 0; i < values.size(); i += kSessionColumns) {
    const std::optional<std::string>& source = values[i + 2];
    Told& told = all[values[i].value_or("")];
    told.value = values[i + 1];
    told.at_default = told.at_default && !source.has_value();
    told.privileged = told.privileged || (source.has_value() && source->starts_with("super"));
  }
  touched_->names.clear();
  for (const auto& [name, told] : all) {
    // One of the users' own has no default; the fence around a replay is not the client's.
    const bool fence = name == kFence && told.value == "off";
    const bool at_default = fence || (told.at_default && name.find('.') == std::string::npos);
    touched_->names.push_back(name);
    touched_->values.push_back(told.value);
    touched_->at_default.push_back(at_default);
    touched_->privileged.push_back(told.privileged);
  }
  return true;
}

void PostgresRequests::AskValues(Cursor& cursor) {
  std::vector<std::string>& names = touched_->names;
  if (touched_->all) {
    for (const Setting& each : profile_.settings()) names.push_back(each.name);
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (names.empty()) {
    touched_.reset();
    return;
  }
  touched_->asking = Asking::kValues;
  const Calls parameters(names.begin(), names.end());
  SendOwn(cursor, SelectCalls("pg_catalog.current_setting($", ",true)", names.size()),
          OwnPurpose::kQuestion, parameters);
}

// What would RESET give, for those that have changed? In a transaction of its own that leaves no
// trace.
bool PostgresRequests::AskDefaults(Cursor& cursor) {
  Calls parameters;
  for (size_t i = 0; i < touched_->names.size(); ++i) {
    const std::string& name = touched_->names[i];
    const std::optional<std::string>& value = touched_->values[i];
    const std::string* known = profile_.Find(name);
    const bool changed = value.has_value() && (known == nullptr || *known != *value);
    // A setting of the user's own has no default; one of the encoding would spoil the answer. What
    // is in the base stays in the profile, whatever it is.
    if (!changed || base_.Find(name) != nullptr || name.find('.') != std::string::npos ||
        name == "client_encoding")
      continue;
    // It is known already, but for whether the client may take it back.
    if (!touched_->at_default.empty() && !touched_->privileged[i]) continue;
    touched_->changed.push_back(name);
  }
  if (touched_->changed.empty()) return false;
  parameters.assign(touched_->changed.begin(), touched_->changed.end());
  touched_->asking = Asking::kDefaults;
  SendOwn(cursor, SelectCalls("pg_catalog.set_config($", ",NULL,true)", parameters.size()),
          OwnPurpose::kQuestion, parameters);
  return true;
}

// Somebody who may not set one of them is not told its default; but whether it has it.
void PostgresRequests::AskWhetherAtDefault(Cursor& cursor) {
  touched_->asking = Asking::kAtDefault;
  const Calls parameters(touched_->changed.begin(), touched_->changed.end());
  SendOwn(cursor,
          SelectCalls("(SELECT setting IS NOT DISTINCT FROM reset_val FROM pg_catalog.pg_settings "
                      "WHERE pg_catalog.lower(name) = $",
                      ")", parameters.size()),
          OwnPurpose::kQuestion, parameters);
}

// By what has been told of the setting at this place.
bool PostgresRequests::AtDefault(const PostgresReplies& backend, size_t place) const {
  const std::string& name = touched_->names[place];
  const auto asked = std::find(touched_->changed.begin(), touched_->changed.end(), name);
  if (asked == touched_->changed.end())
    return !touched_->at_default.empty() && touched_->at_default[place];
  const size_t at = static_cast<size_t>(asked - touched_->changed.begin());
  const std::optional<std::string>& told = backend.first_answer().values[at];
  return told ==
         (touched_->asking == Asking::kAtDefault ? std::string("t") : touched_->values[place]);
}

void PostgresRequests::KeepAnswers(PostgresReplies& backend) {
  const PostgresReplies::Answer& answer = backend.first_answer();
  if (!touched_->changed.empty() &&
      (answer.failed || answer.values.size() != touched_->changed.size())) {
    LoseSettings();
    return;
  }
  Settings settings;
  for (const Setting& each : profile_.settings()) {
    if (std::binary_search(touched_->names.begin(), touched_->names.end(), each.name)) continue;
    settings.push_back(each);
  }
  for (size_t i = 0; i < touched_->names.size(); ++i) {
    const std::string& name = touched_->names[i];
    const std::optional<std::string>& value = touched_->values[i];
    if (!value.has_value()) continue;
    // Another client has made it here.
    if (value->empty() && profile_.Find(name) == nullptr &&
        std::binary_search(touched_->guessed.begin(), touched_->guessed.end(), name))
      continue;
    // What init_query has set is back after a RESET, since this backend is not used again.
    const std::string* initial = ValueOf(backend.initial(), name);
    const bool in_base = base_.Find(name) != nullptr;
    const bool given = AtDefault(backend, i);
    if (!in_base && (initial == nullptr ? given : *initial == *value || (given && marks_.resets)))
      continue;
    settings.push_back({name, *value});
    // It is not sure that the next client's login may take it back.
    if (touched_->asking == Asking::kAtDefault &&
        std::find(touched_->changed.begin(), touched_->changed.end(), name) !=
            touched_->changed.end())
      settings_unknown_ = true;
  }
  touched_.reset();
  profile_ = context_.profiles.Intern(Sorted(std::move(settings)));
  backend.set_profile(profile_);
  careful_profile_ = 0;
}

}  // namespace weir::postgres
