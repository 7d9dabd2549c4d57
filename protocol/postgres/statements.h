// Prepared statements of the extended protocol, shared between clients.
//
// Equal statements of different clients are one statement on the server: its text and parameter
// types get a process-wide id, its name on every backend derives from the id. A client keeps its
// own names (StatementNames), a backend what has been prepared on it (PreparedSet); the exchange
// parses what is missing just before its first use.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/text.h"
#include "protocol/postgres/sql_scan.h"

namespace weir::postgres {

using StatementId = uint32_t;  // 0: none

// One statement; immutable and living as long as the program.
struct Statement {
  // What the parse keys of those begin with that SQL has made.
  static constexpr std::string_view kFromSql = std::string_view("sql\0", 4);

  StatementId id = 0;  // 0: not shared
  // What makes it one: what follows the name in a Parse message (text, NUL, number and oids of the
  // types), then the settings that the server reads when it parses (ProfileRef::parse_key).
  std::string key;
  size_t tail_length = 0;
  std::string_view parse_tail() const { return std::string_view(key).substr(0, tail_length); }
  std::string_view parse_key() const { return std::string_view(key).substr(tail_length); }
  std::string_view text() const { return key.c_str(); }
  // Made by SQL: its text is the PREPARE.
  bool from_sql() const { return parse_key().starts_with(kFromSql); }
  Verdict verdict;  // what its text means for the session, found once, without a catalogue
};

// Statement names that clients may not use, and what of them means what on the server: a shared
// statement by its id, and one that comes and goes where only the server knows the answer.
inline constexpr std::string_view kReservedPrefix = "__weir_";
inline constexpr std::string_view kServerNamePrefix = "__weir_s";
inline constexpr std::string_view kPassingName = "__weir_passing";
std::string ServerName(StatementId id);
// The id behind a name of ours; 0 if it is not one.
StatementId IdOfServerName(std::string_view name);

// Stands for a statement that is not shared: it is on one backend, under its client's own name.
extern const Statement kNotShared;
// What a backend has under a client's name: what the client that is joined has made of it, as that
// knows; none, if what closes it is not skipped; or what is not known.
extern const Statement kOwnChange;
extern const Statement kClosedName;
extern const Statement kUnknownName;

// All statements of the process. A mutex is taken only when a shard sees a text for the first time,
// through its StatementCache.
class StatementTable {
 public:
  // Texts beyond this many bytes in all are not shared any more (their clients keep their backend).
  explicit StatementTable(uint64_t bytes_max = uint64_t{256} << 20) : bytes_max_(bytes_max) {}

  // nullptr when the table is full.
  const Statement* Intern(std::string_view parse_tail, std::string_view parse_key,
                          const Verdict& verdict);

 private:
  std::mutex mutex_;
  std::deque<Statement> statements_;
  engine::TextViewMap<const Statement*> by_key_;
  uint64_t bytes_ = 0;
  const uint64_t bytes_max_;
};

// One shard's view of the table.
class StatementCache {
 public:
  explicit StatementCache(StatementTable& table) : table_(table) {}
  // nullptr: not seen by this shard so far.
  const Statement* Find(std::string_view parse_tail, std::string_view parse_key);
  // nullptr when the table is full.
  const Statement* Intern(std::string_view parse_tail, std::string_view parse_key,
                          const Verdict& verdict);

 private:
  StatementTable& table_;
  engine::TextViewMap<const Statement*> by_key_;
  std::string scratch_;
};

// A client's names, or what a backend has under names of clients'. Empty names are not kept here:
// the unnamed statement has rules of its own.
class StatementNames {
 public:
  // nullptr: the client has no such statement.
  const Statement* Find(std::string_view name) const;
  void Set(std::string_view name, const Statement* statement);  // nullptr: removes it
  std::string_view NameOf(StatementId id) const;                // some name of it; empty if none
  const Statement* FindId(StatementId id) const;                // nullptr: under no name
  std::vector<std::string> All() const;                         // sorted
  void Clear();
  size_t size() const { return names_ == nullptr ? 0 : names_->size(); }

 private:
  std::unique_ptr<engine::TextMap<const Statement*>> names_;
};

// What is prepared on one backend, at most `limit` statements; the one to give way is found by a
// clock hand.
class PreparedSet {
 public:
  bool Contains(StatementId id) const {
    return id / 64 < bits_.size() && (bits_[id / 64] >> (id % 64) & 1) != 0;
  }
  // It is in use now: it gives way late. Only for one that is contained.
  void Touch(StatementId id) { used_[id / 64] |= uint64_t{1} << (id % 64); }
  void Add(StatementId id);
  void Remove(StatementId id);
  void Clear();
  size_t size() const { return entries_.size(); }
  const std::vector<StatementId>& all() const { return entries_; }
  // Chooses one to be closed, never `keep`; 0 if there is none. The caller removes it.
  StatementId Victim(StatementId keep);

 private:
  std::vector<uint64_t> bits_;
  std::vector<uint64_t> used_;
  std::vector<StatementId> entries_;
  size_t hand_ = 0;
};

}  // namespace weir::postgres
