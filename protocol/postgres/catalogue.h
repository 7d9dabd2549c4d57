// What weir knows of a database: what a call of each function name may do to the session, and what
// any statement may, because of triggers, views, column defaults, operators and the like.
//
// A name is judged by all functions of that name: which of them a text calls is for the server to
// find out. A user's function is harmless if its source names no session state, no dynamic SQL and
// no function that is not harmless; functions in C are by their extension. Immutable once built.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/base/text.h"
#include "protocol/dialect.h"
#include "protocol/postgres/call_effect.h"

namespace weir::postgres {

// What runs code that no text names: views, policies, operators, casts, domains (any statement);
// triggers and defaults (those that write); event triggers (DDL).
enum class Scope : uint8_t { kAll, kWrites, kDdl };
inline constexpr size_t kScopes = 3;

class Catalogue final : public protocol::Catalogue {
 public:
  // nullptr: there is no function of a user of this name. Else what calling any of them may do,
  // with what a built-in one of the name may do that is on no list of ours. `name`: folded, without
  // its schema.
  const CallEffect* Find(std::string_view name) const {
    if (users_.empty()) return nullptr;
    const auto found = users_.find(name);
    return found == users_.end() ? nullptr : &found->second;
  }
  // What every statement of the kind may do besides what its text says.
  const CallEffect& Unseen(Scope scope) const { return unseen_[static_cast<size_t>(scope)]; }
  // A call of the function, as SQL; empty: it is not known. All functions of its name count.
  std::string CallOf(uint32_t function) const;
  // What a DO block of this source may do.
  CallEffect EffectOfBlock(std::string_view source, bool ascii_trailing_bytes) const;
  // Settings of the users' own (with a dot) that functions set by name, sorted.
  const std::vector<std::string>& custom_settings() const { return custom_settings_; }
  // By what it would be recognized on the server.
  const std::string& fingerprint() const { return fingerprint_; }

 private:
  friend class CatalogueBuilder;

  CallEffect EffectOfCall(std::string_view name) const;

  engine::TextMap<CallEffect> users_;  // of users' functions
  CallEffect unseen_[kScopes];
  std::vector<std::string> custom_settings_;
  std::set<std::string, std::less<>> unlisted_;  // built-in functions that are on no list of ours
  // All functions by oid, sorted, and where their names stand, each with a 0 at its end.
  std::vector<std::pair<uint32_t, uint32_t>> oids_;
  std::string oid_names_;
  std::string fingerprint_;
};

// The server's own functions have lower oids than those of users.
inline constexpr uint32_t kFirstOidOfUsers = 16384;

// A function of a user.
struct FunctionRow {
  uint32_t oid = 0;
  std::string_view name = {};
  std::string_view language = {};
  std::string_view extension = {};  // that it belongs to; may be empty
  bool aggregate = false;           // its source names the functions that it is made of
  // A value of its argument's type can call it like a column of it: t.f.
  bool attribute = false;
  std::string_view source = {};
  bool source_known = false;
  std::string_view defaults = {};  // of its arguments, as SQL
};

// Takes rows in any order; every user function that is named in an edge or a reference needs one.
class CatalogueBuilder {
 public:
  // All built-in functions.
  void AddBuiltIn(uint32_t oid, std::string_view name);
  void AddFunction(const FunctionRow& row, bool ascii_trailing_bytes);
  // `function` calls `other`.
  void AddEdge(uint32_t function, uint32_t other) { edges_.emplace_back(function, other); }
  // An object of the database that is no function uses this one.
  void AddUse(Scope scope, uint32_t function) { uses_.emplace_back(scope, function); }
  void AddUseOfBuiltIn(Scope scope, std::string_view name);
  size_t functions() const { return functions_.size(); }
  size_t calls() const { return calls_; }  // names in sources, in all

  std::unique_ptr<Catalogue> Build(std::string fingerprint);

 private:
  struct Function {
    uint32_t oid = 0;
    uint32_t name = 0;
    CallEffect effect;
    std::vector<uint32_t> calls;    // names
    std::vector<uint32_t> used_by;  // functions, by edges
    bool attribute = false;
    bool queued = false;
  };
  struct Name {
    std::string_view text;
    CallEffect effect;  // of calling it, as far as it is known
    std::vector<uint32_t> callers;
    bool users = false;  // some function of a user has it
  };

  uint32_t NameOf(std::string_view text);
  void CloseEffects();
  void Spread(uint32_t index, std::vector<uint32_t>& queue);
  void JudgeUnseen(Catalogue& catalogue) const;
  void NameOids(Catalogue& catalogue);

  std::vector<Function> functions_;
  std::vector<Name> names_;
  engine::TextMap<uint32_t> name_index_;
  std::unordered_map<uint32_t, uint32_t> by_oid_;
  std::vector<std::pair<uint32_t, uint32_t>> edges_;
  std::vector<std::pair<Scope, uint32_t>> uses_;
  std::vector<std::pair<uint32_t, uint32_t>> built_in_oids_;  // and where their names stand
  std::string built_in_names_;
  CallEffect built_in_uses_[kScopes];
  std::set<std::string, std::less<>> unlisted_;
  std::vector<std::string> settings_;
  size_t calls_ = 0;
};

}  // namespace weir::postgres
