#include "protocol/postgres/base_proof.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "protocol/postgres/encode.h"

namespace weir::postgres {

using protocol::ExchangeSink;
using Next = protocol::BaseProof::Next;

namespace {

constexpr std::string_view kEncodingName = "client_encoding";

std::string_view SqlStateOf(std::string_view message) { return ErrorField(message.substr(5), 'C'); }

Calls NamesOf(const protocol::Parameters& settings) {
  Calls names;
  for (const auto& [name, value] : settings) names.emplace_back(name);
  return names;
}

void Send(PostgresReplies& replies, ExchangeSink& sink, std::string_view sql, OwnPurpose purpose,
          OwnParameters parameters = {}) {
  const bool close_first = replies.PushOwnStatement(/*sync=*/true, purpose);
  sink.InsertToServer(engine::AsBytes(
      OwnStatementMessages(sql, {.sync = true, .close_first = close_first}, parameters)));
}

void SendSettings(PostgresReplies& replies, ExchangeSink& sink, const Calls& calls) {
  Send(replies, sink, SetConfigs(calls), OwnPurpose::kReplay, calls);
}

}  // namespace

Next PostgresBaseProof::Continue(protocol::Replies& answered, ExchangeSink& sink) {
  PostgresReplies& replies = static_cast<PostgresReplies&>(answered);
  CHECK(replies.quiet());
  const bool failed = replies.own_statement_failed();
  switch (step_) {
    case Step::kBegin:
      if (replies.InProfile({})) return Set(replies, sink);
      Clean(replies, sink);
      return Next::kReceive;
    case Step::kClean:
      if (failed) return Refuse(replies);
      replies.set_profile({});
      return Set(replies, sink);
    case Step::kSet:
      return failed ? OnNotSet(replies, sink) : SetEncoding(replies, sink);
    case Step::kEncoding:
      return failed ? Refuse(replies) : AskValues(replies, sink);
    case Step::kValues:
      return OnValues(replies);
    case Step::kContexts:
      return OnContexts(replies);
    case Step::kDone:
      break;
  }
  UNREACHABLE();
}

// To what the session began with.
void PostgresBaseProof::Clean(PostgresReplies& replies, ExchangeSink& sink) {
  step_ = Step::kClean;
  replies.ForgetProfile();
  replies.ForgetAnswers();
  Send(replies, sink, "RESET SESSION AUTHORIZATION", OwnPurpose::kReplay);
  Send(replies, sink, "RESET ALL", OwnPurpose::kReplay);
  Calls calls;
  for (const Setting& each : replies.initial())
    calls.insert(calls.end(), {std::string_view(each.name), std::string_view(each.value)});
  if (!calls.empty()) SendSettings(replies, sink, calls);
}

Next PostgresBaseProof::Set(PostgresReplies& replies, ExchangeSink& sink) {
  Calls calls;
  for (const auto& [name, value] : base_) {
    if (name != kEncodingName) calls.insert(calls.end(), {name, value});
  }
  if (calls.empty()) return SetEncoding(replies, sink);
  step_ = Step::kSet;
  // Should this end before it is known what became of it: the next client has all reset.
  replies.ForgetProfile();
  replies.ForgetAnswers();
  SendSettings(replies, sink, calls);
  return Next::kReceive;
}

Next PostgresBaseProof::SetEncoding(PostgresReplies& replies, ExchangeSink& sink) {
  const auto encoding = std::find_if(base_.begin(), base_.end(),
                                     [](const auto& each) { return each.first == kEncodingName; });
  if (encoding == base_.end()) return AskValues(replies, sink);
  step_ = Step::kEncoding;
  replies.ForgetProfile();
  replies.ForgetAnswers();
  SendSettings(replies, sink, {kEncodingName, encoding->second});
  return Next::kReceive;
}

Next PostgresBaseProof::AskValues(PostgresReplies& replies, ExchangeSink& sink) {
  step_ = Step::kValues;
  replies.ForgetAnswers();
  const Calls names = NamesOf(base_);
  Send(replies, sink, SelectCalls("pg_catalog.current_setting($", ",true)", names.size()),
       OwnPurpose::kQuestion, names);
  return Next::kReceive;
}

// All of it was one statement: the session is as it was. The error for a setting that only a start
// can make is the same for one that a start cannot make either.
Next PostgresBaseProof::OnNotSet(PostgresReplies& replies, ExchangeSink& sink) {
  replies.set_profile({});
  if (SqlStateOf(replies.own_error()) != "55P02") return Refuse(replies);
  step_ = Step::kContexts;
  error_ = std::string(replies.own_error());
  replies.ForgetAnswers();
  const Calls names = NamesOf(base_);
  Send(replies, sink,
       SelectCalls("(SELECT context LIKE '%backend' FROM pg_catalog.pg_settings "
                   "WHERE pg_catalog.lower(name) = $",
                   ")", names.size()),
       OwnPurpose::kQuestion, names);
  return Next::kReceive;
}

Next PostgresBaseProof::OnContexts(PostgresReplies& replies) {
  step_ = Step::kDone;
  const std::vector<std::optional<std::string>>& answer = replies.first_answer().values;
  for (size_t i = 0; i < answer.size() && i < base_.size(); ++i) {
    if (answer[i] == "t") only_at_start_.push_back(base_[i]);
  }
  return only_at_start_.empty() ? Next::kRefused : Next::kProven;
}

Next PostgresBaseProof::OnValues(PostgresReplies& replies) {
  const std::vector<std::optional<std::string>>& answer = replies.first_answer().values;
  if (replies.own_statement_failed() || answer.size() != base_.size()) return Refuse(replies);
  step_ = Step::kDone;
  Settings settings;
  for (size_t i = 0; i < base_.size(); ++i) {
    values_.emplace_back(base_[i].first, answer[i].value_or(""));
    settings.push_back({values_.back().first, values_.back().second});
  }
  replies.set_profile(profiles_.Intern(Sorted(std::move(settings))));
  return Next::kProven;
}

Next PostgresBaseProof::Refuse(PostgresReplies& replies) {
  step_ = Step::kDone;
  error_ = replies.own_statement_failed()
               ? std::string(replies.own_error())
               : EncodeError("FATAL", "XX000", "the server did not tell the session's settings");
  return Next::kRefused;
}

}  // namespace weir::postgres
