#include <algorithm>

#include "protocol/postgres/encode.h"
#include "tests/fuzz/model.h"

namespace weir::fuzz {

std::string ModelClient::AnyText() {
  std::string text(kTexts[choices_.Below(kTexts.size())]);
  // Some texts are shared by all clients, some are this client's.
  if (text.starts_with("SELECT") && choices_.Below(2) == 1) text += std::string(" -- ") + tag_;
  return text;
}

std::string ModelClient::AnyName() {
  static constexpr std::string_view kNames[] = {"", "a", "b", "c"};
  return std::string(kNames[choices_.Below(4)]);
}

void ModelClient::Ask(std::string& out, char type, std::string_view body, std::string name,
                      std::string text) {
  out += Encode(type, body);
  const bool copies = text.starts_with("COPY");
  has_copies_ = has_copies_ || copies;
  expected_.push_back({.type = type, .name = std::move(name), .text = std::move(text)});
  expected_.back().may_copy = (type == 'Q' && copies) || (type == 'E' && has_copies_);
  open_batch_ = type != 'Q' && type != 'S';
}

void ModelClient::SendCopy(std::string& out) {
  switch (choices_.Below(4)) {
    case 0:
      out += Encode('f', Z("no more"));
      copying_ = false;
      return;
    case 1:
      out += Encode('c', "");
      copying_ = false;
      return;
    default:
      out += Encode('d', "some data\n");
      return;
  }
}

// Data for a COPY before the server has asked for it; ignored if there is none.
void ModelClient::MaySendBlind(std::string& out) {
  if (choices_.Below(8) != 7) return;
  out += Encode('d', "blind data\n") + Encode('c', "");
  expected_.back().copied = true;
}

// Then the server may wait for data, and takes nothing else.
bool ModelClient::CopyUnsettled() const {
  return std::any_of(expected_.begin(), expected_.end(),
                     [](const Expected& each) { return each.may_copy; });
}

void ModelClient::Send(std::string& out) {
  if (copying_) return SendCopy(out);
  if (CopyUnsettled()) {
    if (open_batch_ || choices_.Below(4) == 3) Ask(out, 'S', "", "", "");
    return;
  }
  const size_t what = choices_.Below(8);
  switch (what) {
    case 0: {
      const std::string text = AnyText();
      // In the extended protocol's batch a Query stands only behind a Sync.
      if (open_batch_) Ask(out, 'S', "", "", "");
      Ask(out, 'Q', Z(text), "", text);
      MaySendBlind(out);
      return;
    }
    case 1:
    case 2: {
      std::string name = AnyName();
      std::string text = AnyText();
      // Under a name weir does not look for a DEALLOCATE of a name.
      if (text.starts_with("DEALLOCATE") && !text.ends_with("ALL")) name.clear();
      Ask(out, 'P', Z(name) + Z(text) + std::string(2, '\0'), name, text);
      return;
    }
    case 3: {
      const std::string name = AnyName();
      Ask(out, 'B', Z("") + Z(name) + std::string(6, '\0'), name, "");
      return;
    }
    case 4: {
      const std::string name = AnyName();
      Ask(out, 'D', "S" + Z(name), name, "");
      return;
    }
    case 5:
      Ask(out, 'E', Z("") + std::string(4, '\0'), "", "");
      MaySendBlind(out);
      return;
    case 6: {
      const std::string name = AnyName();
      Ask(out, 'C', "S" + Z(name), name, "");
      return;
    }
    default:
      Ask(out, 'S', "", "", "");
      return;
  }
}

void ModelClient::Finish(std::string& out) {
  if (copying_) {
    out += Encode('f', Z("the end"));
    copying_ = false;
  }
  if (open_batch_) Ask(out, 'S', "", "", "");
}

void ModelClient::Take(std::string_view bytes) {
  reader_.Add(bytes);
  for (Message each; reader_.Next(each);) OnReply(each);
}

void ModelClient::OnReply(const Message& message) {
  if (message.type == 'N' || message.type == 'S') return;
  if (message.type == 'E') return OnError(message);
  // After an error the next answer is that to the Sync.
  while (skipping_ && !expected_.empty() && expected_.front().type != 'S') expected_.pop_front();
  CHECK(!expected_.empty());  // something was asked for
  const char type = message.type;
  switch (expected_.front().type) {
    case 'P':
      CHECK(type == '1');
      OnParsed();
      break;
    case 'B':
      CHECK(type == '2');
      OnBound();
      break;
    case 'D':
      if (type == 't') return;
      CHECK(type == 'T');
      CHECK(Known(expected_.front().name));
      CheckRow({'D', message.body}, names_[expected_.front().name]);
      break;
    case 'C':
      CHECK(type == '3');
      names_.erase(expected_.front().name);
      break;
    case 'S':
      CHECK(type == 'Z');
      status_ = message.body[0];
      skipping_ = false;
      break;
    case 'E':
      return OnExecuteReply(message);
    case 'Q':
      return OnQueryReply(message);
    default:
      CHECK(false);
  }
  expected_.pop_front();
}

// A DEALLOCATE of a name goes to the server under another name.
void ModelClient::CheckRow(const Message& message, std::string_view text) const {
  if (text.starts_with("DEALLOCATE")) return;
  CHECK(message.type != 'D' || message.body == text);
  CHECK(message.type != 'C' || message.body == Z(text));
}

void ModelClient::OnExecuteReply(const Message& message) {
  CHECK(has_portal_ && Possible(portal_));
  CheckRow(message, portal_);
  switch (message.type) {
    case 'D':
      return;
    case 'G':
      return OnCopyIn();
    case 'C':
      copying_ = false;
      Effects(portal_);
      expected_.pop_front();
      return;
    default:
      CHECK(false);
  }
}

void ModelClient::OnQueryReply(const Message& message) {
  const std::string& text = expected_.front().text;
  switch (message.type) {
    case 'T':
      return;
    case 'D':
      CheckRow(message, text);
      return;
    case 'G':
      return OnCopyIn();
    case 'C':
      CheckRow(message, text);
      copying_ = false;
      Effects(text);
      return;
    case 'Z':
      names_.erase("");
      has_portal_ = false;
      status_ = message.body[0];
      expected_.pop_front();
      return;
    default:
      CHECK(false);
  }
}

void ModelClient::OnParsed() {
  const Expected& parse = expected_.front();
  CHECK(parse.name.empty() || !Known(parse.name));
  CHECK(Possible(parse.text));
  names_[parse.name] = parse.text;
}

void ModelClient::OnBound() {
  const Expected& bind = expected_.front();
  CHECK(Known(bind.name));
  portal_ = names_[bind.name];
  CHECK(Possible(portal_));
  has_portal_ = true;
}

// While the server waits for data it does not answer the Syncs that were sent right behind.
void ModelClient::OnCopyIn() {
  if (expected_.front().copied) return;
  copying_ = true;
  while (expected_.size() > 1 && expected_[1].type == 'S') expected_.erase(expected_.begin() + 1);
  if (expected_.size() == 1 && expected_.front().type == 'E') open_batch_ = true;
}

void ModelClient::OnError(const Message& message) {
  CHECK(!expected_.empty() && !skipping_);
  copying_ = false;
  const Expected& head = expected_.front();
  const std::string_view code = postgres::ErrorField(message.body, 'C');
  CHECK(message.body.find("__weir_own") == std::string::npos);
  switch (head.type) {
    case 'Q':
      if (code == "26000") {
        CHECK(head.text.starts_with("DEALLOCATE") && !Known(head.text.ends_with("a") ? "a" : "b"));
      }
      return;
    case 'P':
      if (code == "42P05") CHECK(Known(head.name));
      if (head.name.empty()) names_.erase("");
      break;
    case 'B':
    case 'D':
      if (code == "26000") CHECK(!Known(head.name));
      break;
    case 'S':
      CHECK(false);
      break;
    default:
      break;
  }
  skipping_ = true;
  while (!expected_.empty() && expected_.front().type != 'S') expected_.pop_front();
  if (expected_.empty()) open_batch_ = true;
}

void ModelClient::Effects(std::string_view text) {
  if (text == "BEGIN" && status_ == 'I') status_ = 'T';
  if (EndsTransaction(text)) status_ = 'I';
  if (text == "DISCARD ALL" || text == "DEALLOCATE ALL" || text == "DEALLOCATE PREPARE ALL") {
    std::erase_if(names_, [](const auto& each) { return !each.first.empty(); });
  } else if (text == "DEALLOCATE a") {
    names_.erase("a");
  } else if (text.starts_with("DEALLOCATE PREPARE")) {
    names_.erase("b");
  }
}

}  // namespace weir::fuzz
