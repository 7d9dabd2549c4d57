// What has become of the settings that a client's texts may have changed.
//
// Between transactions their values are read, and those that differ from what RESET would give make
// the profile. Behind code that no text shows, the server is first asked which have been set.
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "protocol/postgres/own_messages.h"
#include "protocol/postgres/request_cursor.h"
#include "protocol/postgres/requests.h"

namespace weir::postgres {

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
        AskNames(cursor);
      } else {
        AskValues(cursor);
      }
      break;
    case Asking::kNames:
      if (backend.own_statement_failed() || backend.answer().size() != 1) {
        LoseSettings();
        return;
      }
      KeepNames(backend);
      AskValues(cursor);
      break;
    case Asking::kValues:
      if (backend.own_statement_failed() || backend.answer().size() != touched_->names.size()) {
        LoseSettings();
        return;
      }
      touched_->values = backend.answer();
      if (!AskDefaults(cursor)) KeepAnswers(backend);
      break;
    case Asking::kDefaults:
      if (backend.own_statement_failed()) {
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

// Which settings has code made that is not seen? Those of the users' own are in no catalogue.
void PostgresRequests::AskNames(Cursor& cursor) {
  touched_->asking = Asking::kNames;
  SendOwn(cursor,
          "SELECT pg_catalog.array_to_string(pg_catalog.array_agg(pg_catalog.lower(name)), ',') "
          "FROM pg_catalog.pg_settings WHERE source = 'session'",
          OwnPurpose::kQuestion);
}

void PostgresRequests::KeepNames(const PostgresReplies& backend) {
  std::vector<std::string>& names = touched_->names;
  const std::string told = backend.answer()[0].value_or("");
  for (std::string_view rest = told; !rest.empty();) {
    const size_t end = std::min(rest.find(','), rest.size());
    names.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  names.insert(names.end(), {"role", "session_authorization"});
  std::vector<std::string>& guessed = touched_->guessed;
  const auto guess = [&guessed](const auto& all) {
    guessed.insert(guessed.end(), all.begin(), all.end());
  };
  guess(context_.options.custom_settings);
  guess(context_.custom_settings);
  if (backend.catalogue() != nullptr) guess(backend.catalogue()->custom_settings());
  // What a text of its own has named is known to be its own.
  std::erase_if(guessed, [&names](const std::string& each) {
    return std::find(names.begin(), names.end(), each) != names.end();
  });
  std::sort(guessed.begin(), guessed.end());
  names.insert(names.end(), guessed.begin(), guessed.end());
  // What it had before may be gone.
  touched_->all = true;
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

// By the last answer.
bool PostgresRequests::AtDefault(const PostgresReplies& backend, std::string_view name,
                                 const std::string& value) const {
  const auto asked = std::find(touched_->changed.begin(), touched_->changed.end(), name);
  if (asked == touched_->changed.end()) return false;
  const std::optional<std::string>& told =
      backend.answer()[static_cast<size_t>(asked - touched_->changed.begin())];
  return told == (touched_->asking == Asking::kAtDefault ? std::string("t") : value);
}

void PostgresRequests::KeepAnswers(PostgresReplies& backend) {
  if (touched_->asking != Asking::kValues &&
      (backend.own_statement_failed() || backend.answer().size() != touched_->changed.size())) {
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
    const bool given = AtDefault(backend, name, *value);
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
