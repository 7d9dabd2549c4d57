#include "protocol/postgres/statements.h"

#include <algorithm>
#include <charconv>

#include "engine/base/check.h"

namespace weir::postgres {

const Statement kNotShared;
const Statement kOwnChange;
const Statement kClosedName;
const Statement kUnknownName;

std::string ServerName(StatementId id) { return engine::Cat(kServerNamePrefix, id); }

StatementId IdOfServerName(std::string_view name) {
  if (!name.starts_with(kServerNamePrefix)) return 0;
  StatementId id = 0;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kServerNamePrefix.size(), end, id);
  return error == std::errc() && stop == end ? id : 0;
}

const Statement* StatementTable::Intern(std::string_view parse_tail, std::string_view parse_key,
                                        const Verdict& verdict) {
  std::lock_guard lock(mutex_);
  std::string key = engine::Cat(parse_tail, parse_key);
  if (const auto found = by_key_.find(key); found != by_key_.end()) return found->second;
  if (bytes_ + key.size() > bytes_max_) return nullptr;
  bytes_ += key.size();
  Statement& statement = statements_.emplace_back();
  statement.id = static_cast<StatementId>(statements_.size());
  statement.key = std::move(key);
  statement.tail_length = parse_tail.size();
  statement.verdict = verdict;
  by_key_.emplace(statement.key, &statement);
  return &statement;
}

const Statement* StatementCache::Find(std::string_view parse_tail, std::string_view parse_key) {
  std::string_view key = parse_tail;
  if (!parse_key.empty()) {
    scratch_.assign(parse_tail).append(parse_key);
    key = scratch_;
  }
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? nullptr : found->second;
}

const Statement* StatementCache::Intern(std::string_view parse_tail, std::string_view parse_key,
                                        const Verdict& verdict) {
  const Statement* statement = table_.Intern(parse_tail, parse_key, verdict);
  if (statement != nullptr) by_key_.emplace(statement->key, statement);
  return statement;
}

const Statement* StatementNames::Find(std::string_view name) const {
  if (names_ == nullptr) return nullptr;
  const auto found = names_->find(name);
  return found == names_->end() ? nullptr : found->second;
}

void StatementNames::Set(std::string_view name, const Statement* statement) {
  CHECK(!name.empty());
  if (statement != nullptr) {
    if (names_ == nullptr) {
      names_ = std::make_unique<engine::TextMap<const Statement*>>();
    }
    names_->insert_or_assign(std::string(name), statement);
    return;
  }
  if (names_ == nullptr) return;
  if (const auto found = names_->find(name); found != names_->end()) names_->erase(found);
  if (names_->empty()) names_.reset();
}

std::string_view StatementNames::NameOf(StatementId id) const {
  std::string_view least;
  if (names_ == nullptr) return least;
  // The least name, so that the answer does not depend on the order of the table.
  for (const auto& [name, statement] : *names_) {
    if (statement->id == id && (least.empty() || name < least)) least = name;
  }
  return least;
}

const Statement* StatementNames::FindId(StatementId id) const {
  const std::string_view name = NameOf(id);
  return name.empty() ? nullptr : Find(name);
}

std::vector<std::string> StatementNames::All() const {
  std::vector<std::string> all;
  if (names_ == nullptr) return all;
  for (const auto& [name, statement] : *names_) all.push_back(name);
  std::sort(all.begin(), all.end());
  return all;
}

void StatementNames::Clear() { names_.reset(); }

void PreparedSet::Add(StatementId id) {
  CHECK(id != 0 && !Contains(id));
  if (bits_.size() <= id / 64) {
    bits_.resize(id / 64 + 1);
    used_.resize(id / 64 + 1);
  }
  bits_[id / 64] |= uint64_t{1} << (id % 64);
  Touch(id);
  entries_.push_back(id);
}

void PreparedSet::Remove(StatementId id) {
  if (!Contains(id)) return;
  bits_[id / 64] &= ~(uint64_t{1} << (id % 64));
  const auto entry = std::find(entries_.begin(), entries_.end(), id);
  CHECK(entry != entries_.end());
  *entry = entries_.back();
  entries_.pop_back();
}

void PreparedSet::Clear() {
  bits_.clear();
  used_.clear();
  entries_.clear();
  hand_ = 0;
}

StatementId PreparedSet::Victim(StatementId keep) {
  for (size_t turn = 0; turn < 2 * entries_.size(); ++turn) {
    hand_ = (hand_ + 1) % entries_.size();
    const StatementId id = entries_[hand_];
    const uint64_t bit = uint64_t{1} << (id % 64);
    if (id == keep) continue;
    if ((used_[id / 64] & bit) == 0) return id;
    used_[id / 64] &= ~bit;
  }
  return 0;
}

}  // namespace weir::postgres
