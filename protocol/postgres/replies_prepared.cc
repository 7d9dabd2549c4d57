// What is prepared on a backend: statements of weir's, and those under names of clients'.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/fault.h"
#include "protocol/postgres/replies.h"

namespace weir::postgres {

bool PostgresReplies::StatementInFlight(StatementId statement) const {
  if (changes_owed_ == 0 || requests_owed_ == 0 || WEIR_FAULT("statement_in_flight_trusted"))
    return false;
  size_t ends = owed_.size();
  while (!EndsRequest(owed_[ends - 1].kind)) --ends;
  for (size_t i = 0; i < ends; ++i) {
    const Owed& owed = owed_[i];
    if (ChangesPrepared(owed) && owed.statement == statement) return true;
  }
  return false;
}

bool PostgresReplies::UnnamedInFlight() const {
  if (changes_owed_ == 0 || requests_owed_ == 0) return false;
  bool earlier = false;
  for (size_t i = owed_.size(); i > 0; --i) {
    const Owed& owed = owed_[i - 1];
    if (EndsRequest(owed.kind)) earlier = true;
    if (!earlier && owed.owner == OwedTo::kClient && (owed.unnamed_parse || owed.unnamed_change))
      return false;
    if (earlier && (owed.unnamed_parse || owed.unnamed_change)) return true;
  }
  return false;
}

std::vector<StatementId> PostgresReplies::TakeForgotten() {
  std::sort(forgotten_.begin(), forgotten_.end());
  forgotten_.erase(std::unique(forgotten_.begin(), forgotten_.end()), forgotten_.end());
  return std::exchange(forgotten_, {});
}

void PostgresReplies::ForgetPrepared() {
  for (const StatementId id : prepared_.all()) forgotten_.push_back(id);
  // Beyond that what has been forgotten first may be seen where the server shows it.
  constexpr size_t kForgottenMax = 4096;
  if (forgotten_.size() > kForgottenMax) {
    forgotten_ = TakeForgotten();
    if (forgotten_.size() > kForgottenMax)
      forgotten_.erase(forgotten_.begin(), forgotten_.end() - kForgottenMax);
  }
  prepared_.Clear();
  close_first_ = true;
}

void PostgresReplies::ForgetNamed() {
  for (const std::string& name : named_.All()) named_.Set(name, &kUnknownName);
}

// Its client parts: what that has made of names is what it knows of them, if all is answered.
void PostgresReplies::SettleNamed() {
  for (const std::string& name : named_.All()) {
    const Statement* statement = named_.Find(name);
    if (statement == &kOwnChange)
      statement = settled() ? listener_->StatementOf(name) : &kUnknownName;
    if (statement == &kClosedName) statement = settled() ? nullptr : &kUnknownName;
    named_.Set(name, statement == &kNotShared ? &kUnknownName : statement);
  }
}

}  // namespace weir::postgres
