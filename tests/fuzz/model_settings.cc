#include "tests/fuzz/model_settings.h"

#include <iterator>
#include <utility>

namespace weir::fuzz {
namespace {

struct Name {
  std::string_view name;
  std::string_view given;      // its default
  std::string_view values[3];  // "*": the client's own
};
constexpr std::string_view kOwn = "app.t";  // a user's own: it exists once it was made
constexpr Name kNames[] = {
    {kOwn, "", {"one", "", "*"}},
    {"client_encoding", "UTF8", {"UTF8", "SJIS", "LATIN1"}},
    {"exit_on_error", "off", {"off", "off", "on"}},
    {"log_statement", "none", {"none", "all", "ddl"}},
    {"role", "none", {"none", "bob", "*"}},
    {"session_authorization", "app", {"app", "carl", "*"}},
    {"standard_conforming_strings", "on", {"on", "off", "off"}},
    {"timezone", "GMT", {"GMT", "UTC", "*"}},
    {"work_mem", "4MB", {"4MB", "8MB", "*"}},
};

enum class Op : uint8_t { kSet, kLocal, kReset, kResetAll, kResetAuthorization };
enum class Lexing : uint8_t { kAny, kPlain, kEscapes };

// A text of the form: front, a value, back. It means what it says only if lexed so.
struct Form {
  std::string_view front;
  std::string_view back;
  Op op;
  std::string_view name;
  Lexing lexing = Lexing::kAny;
};
constexpr Form kForms[] = {
    {"SET work_mem = '", "'", Op::kSet, "work_mem"},
    {"SET LOCAL work_mem TO '", "'", Op::kLocal, "work_mem"},
    {"SELECT set_config('work_mem', '", "', false)", Op::kSet, "work_mem"},
    {"RESET work_mem", "", Op::kReset, "work_mem"},
    {"SET SESSION work_mem TO DEFAULT", "", Op::kReset, "work_mem"},
    {"SET SESSION TIME ZONE '", "'", Op::kSet, "timezone"},
    {"SET LOCAL TimeZone = '", "'", Op::kLocal, "timezone"},
    {"RESET TIME ZONE", "", Op::kReset, "timezone"},
    {"SELECT pg_catalog.set_config('TimeZone', '", "', true)", Op::kLocal, "timezone"},
    {"SET app.t = '", "'", Op::kSet, kOwn},
    {"SET LOCAL app.t = '", "'", Op::kLocal, kOwn},
    {"SELECT set_config('app.t', '", "', true)", Op::kLocal, kOwn},
    {"RESET app.t", "", Op::kReset, kOwn},
    {"SET ROLE '", "'", Op::kSet, "role"},
    {"SET LOCAL ROLE '", "'", Op::kLocal, "role"},
    {"RESET ROLE", "", Op::kReset, "role"},
    {"SET SESSION AUTHORIZATION '", "'", Op::kSet, "session_authorization"},
    {"RESET SESSION AUTHORIZATION", "", Op::kResetAuthorization, ""},
    {"SET standard_conforming_strings TO ", "", Op::kSet, "standard_conforming_strings"},
    {"SET LOCAL standard_conforming_strings TO ", "", Op::kLocal, "standard_conforming_strings"},
    {"RESET standard_conforming_strings", "", Op::kReset, "standard_conforming_strings"},
    {"SET NAMES '", "'", Op::kSet, "client_encoding"},
    {"SET \"client_encoding\" TO '", "'", Op::kSet, "client_encoding"},
    {"RESET client_encoding", "", Op::kReset, "client_encoding"},
    {"SET log_statement = ", "", Op::kSet, "log_statement"},
    {"RESET log_statement", "", Op::kReset, "log_statement"},
    {"SET exit_on_error = ", "", Op::kSet, "exit_on_error"},
    {"RESET ALL", "", Op::kResetAll, ""},
    // What one way of lexing takes for a call, the other takes for a string.
    {"SELECT '\\', set_config('app.t', '", "', false) --'\n", Op::kSet, kOwn, Lexing::kPlain},
    {"SELECT '\\'', set_config('app.t', '", "', false) --'\n", Op::kSet, kOwn, Lexing::kEscapes},
};

const Name& Find(std::string_view name) {
  for (const Name& each : kNames) {
    if (each.name == name) return each;
  }
  CHECK(false);  // weir asks for no other
  return kNames[0];
}

// The form of a text, and the value in it.
const Form* FormOf(std::string_view text, std::string_view& value) {
  for (const Form& each : kForms) {
    if (text.size() < each.front.size() + each.back.size()) continue;
    if (!text.starts_with(each.front) || !text.ends_with(each.back)) continue;
    value = text.substr(each.front.size(), text.size() - each.front.size() - each.back.size());
    const bool takes_value = each.op == Op::kSet || each.op == Op::kLocal;
    if (takes_value || value.empty()) return &each;
  }
  return nullptr;
}

}  // namespace

std::string SettingText(Choices& choices, char tag) {
  const Form& form = kForms[choices.Below(std::size(kForms))];
  std::string text(form.front);
  if (form.op == Op::kSet || form.op == Op::kLocal) {
    const std::string_view value = Find(form.name).values[choices.Below(3)];
    text += value == "*" ? std::string(1, tag) : std::string(value);
  }
  return text.append(form.back);
}

bool ChangesSettings(std::string_view text) {
  std::string_view value;
  return text == "DISCARD ALL" || FormOf(text, value) != nullptr;
}

std::vector<std::string> PartsOf(std::string_view text) {
  std::vector<std::string> parts;
  for (size_t end = 0; end != std::string_view::npos;) {
    end = text.find("; ");
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 2);
  }
  return parts;
}

ModelSettings::ModelSettings(bool initial) {
  for (const Name& each : kNames) {
    if (each.name == kOwn) continue;
    state_[std::string(each.name)].session = std::string(each.given);
  }
  if (initial) state_[std::string(kInitialName)].session = std::string(kInitialValue);
}

const std::vector<std::string>& ModelSettings::Reported() {
  static const std::vector<std::string> names = {"client_encoding", "standard_conforming_strings",
                                                 "timezone"};
  return names;
}

std::string ModelSettings::Default(std::string_view name) { return std::string(Find(name).given); }

std::optional<std::string> ModelSettings::Get(std::string_view name) const {
  const Name& known = Find(name);
  const auto found = state_.find(known.name);
  if (found != state_.end())
    return found->second.local.has_value() ? found->second.local : found->second.session;
  // What was once made stays as a name.
  if (own_made_) return std::string();
  return std::nullopt;
}

void ModelSettings::Keep() {
  if (saved_.empty()) saved_.push_back(state_);
}

bool ModelSettings::Set(const std::string& name, std::optional<std::string> value, bool local) {
  // Only the user who has logged in may set this.
  const bool other = Get("role") != "none" || Get("session_authorization") != "app";
  if (name == "log_statement" && other) return false;
  Keep();
  if (name == kOwn) own_made_ = true;
  Value& changed = state_[name];
  std::string now = value.has_value() ? *value : Default(name);
  if (local) {
    changed.local = std::move(now);
  } else {
    changed = {.session = std::move(now), .local = std::nullopt};
  }
  // A session's user begins with no role.
  if (name == "session_authorization") return Set("role", std::nullopt, local);
  return true;
}

void ModelSettings::ResetAll() {
  Keep();
  for (auto& [name, value] : state_) {
    if (name == "role" || name == "session_authorization") continue;
    value = {.session = Default(name), .local = std::nullopt};
  }
}

void ModelSettings::ResetAuthorization() {
  CHECK(Set("session_authorization", std::nullopt, false));
}

bool ModelSettings::Run(std::string_view text, bool escapes) {
  if (text == "DISCARD ALL") {
    ResetAuthorization();
    ResetAll();
    return true;
  }
  std::string_view value;
  const Form* form = FormOf(text, value);
  if (form == nullptr) return true;
  if (form->lexing != Lexing::kAny && (form->lexing == Lexing::kEscapes) != escapes) return true;
  switch (form->op) {
    case Op::kSet:
      return Set(std::string(form->name), std::string(value), false);
    case Op::kLocal:
      return Set(std::string(form->name), std::string(value), true);
    case Op::kReset:
      return Set(std::string(form->name), std::nullopt, false);
    case Op::kResetAll:
      ResetAll();
      return true;
    case Op::kResetAuthorization:
      ResetAuthorization();
      return true;
  }
  UNREACHABLE();
}

void ModelSettings::Savepoint() {
  Keep();
  saved_.push_back(state_);
}

bool ModelSettings::RollbackTo() {
  if (saved_.size() < 2) return false;
  state_ = saved_.back();
  return true;
}

void ModelSettings::Abort() {
  if (!saved_.empty()) state_ = saved_.back();
}

void ModelSettings::End(bool commit) {
  if (!commit && !saved_.empty()) state_ = saved_.front();
  saved_.clear();
  for (auto& [name, value] : state_) value.local.reset();
}

std::string ModelSettings::All() const {
  std::string all;
  for (const Name& each : kNames) {
    const std::optional<std::string> value = Get(each.name);
    if (!value.has_value() || (each.name == kOwn && value->empty())) continue;
    all.append(each.name).append("=").append(*value).append(";");
  }
  return all;
}

std::string ModelSettings::Lexed() const {
  return *Get("timezone") + "|" + *Get("standard_conforming_strings") + "|" +
         *Get("client_encoding");
}

}  // namespace weir::fuzz
