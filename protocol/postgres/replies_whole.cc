// The three messages of a server that are read: ErrorResponse, ParameterStatus, ReadyForQuery.
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "protocol/postgres/encode.h"
#include "protocol/postgres/format.h"
#include "protocol/postgres/replies.h"
#include "protocol/wire/cursor.h"

namespace weir::postgres {
namespace {

constexpr uint32_t kHeader = 5;

// `rest` bytes of it are still to come.
void PutLength(std::string& message, uint32_t rest) {
  const uint32_t length = static_cast<uint32_t>(message.size() - 1) + rest;
  for (int i = 0; i < 4; ++i) message[1 + i] = static_cast<char>(length >> (24 - 8 * i));
}

}  // namespace

bool PostgresReplies::OnWhole(std::string_view message, std::string& rewritten) {
  const std::string_view body = message.substr(kHeader);
  switch (type_) {
    case backend::kReadyForQuery:
      if (body.size() != 1) {
        malformed_ = true;
        return false;
      }
      ready_status_ = static_cast<uint8_t>(body[0]);
      return client_at_head();
    case backend::kParameterStatus:
      return OnReport(body, rewritten);
    case backend::kErrorResponse:
      return OnWholeError(message, rewritten);
    case backend::kDataRow:
      OnAnswer(body);
      return false;
  }
  UNREACHABLE();
}

// ParameterStatus: name and value.
bool PostgresReplies::OnReport(std::string_view body, std::string& rewritten) {
  const size_t end = body.find('\0');
  if (end == std::string_view::npos) {
    malformed_ = true;
    return false;
  }
  const std::string_view name = body.substr(0, end);
  const std::string_view value = body.substr(end + 1, body.size() - end - 2);
  const std::string before = Reported(name);
  set_parameter(name, value);
  if (!reads_.empty()) return reader_answered();
  if (listener_ == nullptr) return false;
  if (owed_.empty()) return true;
  // What weir itself changes, to another client's settings and back, is not for the client.
  if (owed_.Front().owner != OwedTo::kClient) {
    return owed_.Front().purpose == OwnPurpose::kRebase && before != value &&
           !WEIR_FAULT("base_report_swallowed");
  }
  // The server resets to its own values; the client's base follows, and is what it is told.
  const std::string* base = owed_.Front().resets ? listener_->BaseValue(name) : nullptr;
  if (base == nullptr) return true;
  Report(name, *base);
  AppendParameterStatus(rewritten, name, *base);
  return before != *base;
}

bool PostgresReplies::OnWholeError(std::string_view message, std::string& rewritten) {
  const std::string_view body = message.substr(kHeader);
  if (body_left_ == 0 && body.back() != '\0') {
    malformed_ = true;
    return false;
  }
  std::string_view severity = ErrorField(body, 'V');
  if (severity.empty()) severity = ErrorField(body, 'S');
  if (severity == "FATAL" || severity == "PANIC") {
    fatal_error_ = std::string(message);
    fatal_sqlstate_ = std::string(ErrorField(body, 'C'));
    return false;
  }
  syntax_error_ = ErrorField(body, 'C') == "42601";
  if (!owed_.empty() && owed_.Front().owner == OwedTo::kWeir) own_name_left_ = true;
  // Code that nobody sees has taken weir's statements away.
  if (ErrorField(body, 'C') == "26000" && message.find(kServerNamePrefix) != std::string_view::npos)
    ForgetPrepared();
  if (!reads_.empty()) {
    if (message.find(kReservedPrefix) != std::string_view::npos) RewriteNames(message, rewritten);
    return client_at_head();
  }
  // A fault of weir's own statements concerns nobody else, unless a client's request falls with it.
  bool for_client = false;
  for (size_t i = 0; i < owed_.size() && !for_client; ++i) {
    for_client = owed_[i].owner == OwedTo::kClient;
    if (EndsRequest(owed_[i].kind)) break;
  }
  if (!for_client) {
    if (owed_.empty() || owed_.Front().owner != OwedTo::kWeir) return false;
    // Of several in a row the first tells why; those behind it may fail for its name.
    if (!own_error_.has_value()) own_error_ = std::string(message);
    if (owed_.Front().purpose == OwnPurpose::kQuestion) answers_[answered_].failed = true;
    // The fence has not held: what the client has sent behind it runs in another session than its
    // own. It must not have the answer.
    if (owed_.Front().purpose == OwnPurpose::kFencedReplay) {
      fatal_error_ = std::string(message);
      fatal_sqlstate_ = std::string(ErrorField(body, 'C'));
    }
    return false;
  }
  if (message.find(kReservedPrefix) != std::string_view::npos) RewriteNames(message, rewritten);
  return listener_ != nullptr;
}

// A DataRow that answers a question: number of columns, then length and value of each.
void PostgresReplies::OnAnswer(std::string_view body) {
  CHECK(answered_ < answers_.size());
  Answer& answer = answers_[answered_];
  protocol::Cursor cursor(body);
  for (uint16_t columns = cursor.U16(); columns > 0 && cursor.ok(); --columns) {
    const uint32_t length = cursor.U32();
    if (answer.values.size() == kAnswerValuesMax) answer.failed = true;
    if (answer.failed) return;
    if (length == UINT32_MAX) {
      answer.values.emplace_back();
    } else {
      answer.values.emplace_back(cursor.Bytes(length));
    }
  }
  if (!cursor.ok()) malformed_ = true;
}

// Names that only the server and weir know become the client's.
void PostgresReplies::RewriteNames(std::string_view message, std::string& rewritten) const {
  const std::string* told = owed_.empty() ? nullptr : owed_.Front().name.get();
  OwedListener* asker = reads_.empty() ? listener_ : reads_.Front().reader;
  rewritten.reserve(message.size());
  while (!message.empty()) {
    const size_t found = message.find(kReservedPrefix);
    rewritten.append(message.substr(0, found));
    if (found == std::string_view::npos) break;
    message.remove_prefix(found);
    const auto in_name = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    };
    size_t end = 0;
    while (end < message.size() && in_name(message[end])) ++end;
    const std::string_view server_name = message.substr(0, end);
    std::string name = told == nullptr ? std::string() : *told;
    if (told == nullptr && asker != nullptr) name = asker->NameOf(IdOfServerName(server_name));
    // A name that goes on in what is still to come is not known.
    const bool cut = message.size() == end && body_left_ > 0;
    rewritten.append(name.empty() || cut ? server_name : std::string_view(name));
    message.remove_prefix(end);
  }
  PutLength(rewritten, body_left_);
}

std::string PostgresReplies::Reported(std::string_view name) const {
  for (const auto& [known, value] : reported_) {
    if (known == name) return value;
  }
  return {};
}

void PostgresReplies::Report(std::string_view name, std::string_view value) {
  const auto known = std::find_if(reported_.begin(), reported_.end(),
                                  [&](const auto& each) { return each.first == name; });
  if (known == reported_.end()) {
    reported_.emplace_back(name, value);
  } else {
    known->second.assign(value);
  }
}

void PostgresReplies::set_parameter(std::string_view name, std::string_view value) {
  Report(name, value);
  if (name == "standard_conforming_strings") {
    lex_mode_.standard_conforming_strings = value != "off";
  } else if (name == "client_encoding") {
    static constexpr std::string_view kTrailingAscii[] = {"SJIS", "SHIFT_JIS_2004", "BIG5", "GBK",
                                                          "UHC",  "GB18030",        "JOHAB"};
    lex_mode_.ascii_trailing_bytes = std::find(std::begin(kTrailingAscii), std::end(kTrailingAscii),
                                               value) != std::end(kTrailingAscii);
  }
}

}  // namespace weir::postgres
