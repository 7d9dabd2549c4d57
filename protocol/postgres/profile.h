// A profile: the settings that a client has made, beyond those that its session began with.
//
// Profiles are immutable, shared, and equal exactly if they are the same object: a shard's table
// holds each distinct one once, as long as a client or a backend of the shard refers to it. Every
// backend carries the profile that its session is in; a client is served where that is its own, or
// the difference is replayed. A backend that moves to another shard takes its settings along as
// text and finds its profile in the table there.
//
// Single shard: references are not atomic.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/text.h"

namespace weir::postgres {

struct Setting {
  std::string name;   // in lower case
  std::string value;  // as current_setting tells it
  bool operator==(const Setting&) const = default;
};
using Settings = std::vector<Setting>;  // sorted by name, each once

Settings Sorted(Settings settings);
// Settings on top of others.
Settings Over(const Settings& below, const Settings& settings);

const std::string* ValueOf(const Settings& settings, std::string_view name);  // nullptr: not there

// A client that makes more than this keeps its backend.
inline constexpr size_t kSettingsMax = 64;
inline constexpr size_t kSettingsBytesMax = size_t{64} * 1024;
inline constexpr size_t kNamesMax = 1024;  // of settings in the texts between two answers
// How long its client may be idle outside of a transaction; not on a backend that others may have.
inline constexpr std::string_view kIdleTimeout = "idle_session_timeout";
// What cannot be set again elsewhere.
bool CannotReplay(std::string_view setting);

class ProfileTable;

class Profile {
 public:
  // Among all of the shard, never used again; 0 is nobody's.
  uint64_t id() const { return id_; }
  const Settings& settings() const { return settings_; }

 private:
  friend class ProfileTable;
  friend class ProfileRef;
  ProfileTable* table_ = nullptr;
  uint64_t id_ = 0;
  uint64_t references_ = 0;
  uint64_t idle_timeout_ms_ = 0;
  Settings settings_;
  std::string parse_key_;
};

// Refers to a profile and keeps it; empty: the session is as it began.
class ProfileRef {
 public:
  ProfileRef() = default;
  explicit ProfileRef(Profile* profile) : profile_(profile) {
    if (profile_ != nullptr) ++profile_->references_;
  }
  ProfileRef(const ProfileRef& other) : ProfileRef(other.profile_) {}
  ProfileRef(ProfileRef&& other) noexcept : profile_(std::exchange(other.profile_, nullptr)) {}
  ProfileRef& operator=(ProfileRef other) noexcept {
    std::swap(profile_, other.profile_);
    return *this;
  }
  ~ProfileRef();

  bool operator==(const ProfileRef& other) const { return profile_ == other.profile_; }
  uint64_t id() const { return profile_ == nullptr ? 0 : profile_->id_; }
  const Settings& settings() const;
  // The settings of it that the server reads when it parses, in one text; empty if there are none.
  std::string_view parse_key() const {
    return profile_ == nullptr ? std::string_view() : profile_->parse_key_;
  }
  const std::string* Find(std::string_view name) const;  // its value, nullptr if not set
  // idle_session_timeout; 0: none.
  uint64_t idle_timeout_ms() const { return profile_ == nullptr ? 0 : profile_->idle_timeout_ms_; }

 private:
  Profile* profile_ = nullptr;
};

class ProfileTable {
 public:
  ~ProfileTable();
  ProfileRef Intern(Settings settings);
  size_t size() const { return by_text_.size(); }

 private:
  friend class ProfileRef;
  void Remove(Profile& profile);

  uint64_t ids_ = 0;  // last one given
  engine::TextMap<std::unique_ptr<Profile>> by_text_;
};

// What has to be set for a session in one profile to be in another: nullptr stands for the value
// that the session began with. In the order of names.
struct SettingChange {
  std::string_view name;
  const std::string* value = nullptr;
};
std::vector<SettingChange> Difference(const Settings& from, const Settings& to);

}  // namespace weir::postgres
