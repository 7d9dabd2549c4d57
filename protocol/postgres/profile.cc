#include "protocol/postgres/profile.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <utility>

#include "engine/base/check.h"
#include "protocol/postgres/sql_settings.h"

namespace weir::postgres {
namespace {

bool BeforeName(const Setting& setting, std::string_view name) { return setting.name < name; }

std::string TextOf(const Settings& settings) {
  std::string text;
  for (const Setting& each : settings) {
    // Neither holds a NUL.
    text.append(each.name).push_back('\0');
    text.append(each.value).push_back('\0');
  }
  return text;
}

// Of a time as the server shows it: "1min"; 0 if it is none.
uint64_t MillisecondsOf(std::string_view shown) {
  uint64_t value = 0;
  const char* end = shown.data() + shown.size();
  const auto [rest, error] = std::from_chars(shown.data(), end, value);
  const std::string_view unit(rest, static_cast<size_t>(end - rest));
  if (error != std::errc()) return 0;
  // The server has no longer one.
  value = std::min<uint64_t>(value, INT32_MAX);
  if (unit == "s") value *= 1000;
  if (unit == "min") value *= uint64_t{60} * 1000;
  if (unit == "h") value *= uint64_t{60} * 60 * 1000;
  if (unit == "d") value *= uint64_t{24} * 60 * 60 * 1000;
  return std::min<uint64_t>(value, INT32_MAX);
}

}  // namespace

Settings Sorted(Settings settings) {
  std::sort(settings.begin(), settings.end(),
            [](const Setting& a, const Setting& b) { return a.name < b.name; });
  return settings;
}

Settings Over(const Settings& below, const Settings& settings) {
  Settings all = settings;
  for (const Setting& each : below) {
    if (ValueOf(settings, each.name) == nullptr) all.push_back(each);
  }
  return Sorted(std::move(all));
}

ProfileRef::~ProfileRef() {
  if (profile_ == nullptr) return;
  CHECK(profile_->references_ > 0);
  if (--profile_->references_ == 0) profile_->table_->Remove(*profile_);
}

const Settings& ProfileRef::settings() const {
  static const Settings kNone;
  return profile_ == nullptr ? kNone : profile_->settings_;
}

const std::string* ProfileRef::Find(std::string_view name) const {
  const Settings& all = settings();
  const auto found = std::lower_bound(all.begin(), all.end(), name, BeforeName);
  return found != all.end() && found->name == name ? &found->value : nullptr;
}

ProfileTable::~ProfileTable() { CHECK(by_text_.empty()); }

ProfileRef ProfileTable::Intern(Settings settings) {
  if (settings.empty()) return {};
  CHECK(std::is_sorted(settings.begin(), settings.end(),
                       [](const Setting& a, const Setting& b) { return a.name < b.name; }));
  std::string text = TextOf(settings);
  if (const auto found = by_text_.find(text); found != by_text_.end())
    return ProfileRef(found->second.get());
  std::unique_ptr<Profile>& profile = by_text_[std::move(text)];
  profile = std::make_unique<Profile>();
  profile->table_ = this;
  profile->id_ = ++ids_;
  for (const Setting& each : settings) {
    if (each.name == kIdleTimeout) profile->idle_timeout_ms_ = MillisecondsOf(each.value);
    if (ShapesParsing(each.name))
      engine::Append(profile->parse_key_, each.name, '=', each.value, '\0');
  }
  profile->settings_ = std::move(settings);
  return ProfileRef(profile.get());
}

void ProfileTable::Remove(Profile& profile) {
  const auto found = by_text_.find(TextOf(profile.settings_));
  CHECK(found != by_text_.end() && found->second.get() == &profile);
  by_text_.erase(found);
}

std::vector<SettingChange> Difference(const Settings& from, const Settings& to) {
  std::vector<SettingChange> changes;
  auto a = from.begin();
  auto b = to.begin();
  while (a != from.end() || b != to.end()) {
    if (b == to.end() || (a != from.end() && a->name < b->name)) {
      changes.push_back({a->name, nullptr});
      ++a;
    } else if (a == from.end() || b->name < a->name) {
      changes.push_back({b->name, &b->value});
      ++b;
    } else {
      if (a->value != b->value) changes.push_back({b->name, &b->value});
      ++a;
      ++b;
    }
  }
  return changes;
}

const std::string* ValueOf(const Settings& settings, std::string_view name) {
  for (const Setting& each : settings) {
    if (each.name == name) return &each.value;
  }
  return nullptr;
}

bool CannotReplay(std::string_view setting) {
  return setting == "seed" || setting == "temp_buffers";
}

}  // namespace weir::postgres
