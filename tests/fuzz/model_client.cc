#include <algorithm>
#include <iterator>

#include "protocol/postgres/encode.h"
#include "tests/fuzz/model.h"

namespace weir::fuzz {

Told ToldBy(const Message& message) {
  std::string_view body = message.body;
  if (message.type == 'C') body.remove_suffix(1);
  const size_t all = body.rfind('\n');
  CHECK(all != std::string_view::npos && all > 0);
  const size_t lexed = body.rfind('\n', all - 1);
  CHECK(lexed != std::string_view::npos);
  return {std::string(body.substr(0, lexed)), std::string(body.substr(lexed + 1, all - lexed - 1)),
          std::string(body.substr(all + 1))};
}

std::string ModelClient::AnyText(bool simple) {
  if (options_.settings && choices_.Below(4) > 0) {
    static constexpr std::string_view kBlocks[] = {"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s",
                                                   "ROLLBACK TO s"};
    const size_t what = choices_.Below(8);
    if (what == 0) return std::string(kBlocks[choices_.Below(std::size(kBlocks))]);
    if (what == 1) return "SELECT 1";
    std::string text = SettingText(choices_, tag_);
    if (simple && what == 2) text += "; " + SettingText(choices_, tag_);
    if (simple && what == 3) text += "; SELECT 1";
    return text;
  }
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
      const std::string text = AnyText(/*simple=*/true);
      // In the extended protocol's batch a Query stands only behind a Sync.
      if (open_batch_) Ask(out, 'S', "", "", "");
      Ask(out, 'Q', Z(text), "", text);
      MaySendBlind(out);
      return;
    }
    case 1:
    case 2: {
      std::string name = AnyName();
      std::string text = AnyText(/*simple=*/false);
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
  if (message.type == 'N') return;
  if (message.type == 'S') return OnReport(message);
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
      CHECK(IsKnown(expected_.front().name));
      CheckText(ToldBy(message), names_[expected_.front().name]);
      break;
    case 'C':
      CHECK(type == '3');
      names_.erase(expected_.front().name);
      break;
    case 'S':
      CHECK(type == 'Z');
      OnReady(message);
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

void ModelClient::OnReport(const Message& message) {
  const size_t end = message.body.find('\0');
  reported_[message.body.substr(0, end)] =
      message.body.substr(end + 1, message.body.size() - end - 2);
}

// Between requests the client has been told the settings that are reported.
void ModelClient::OnReady(const Message& message) {
  const char status = message.body[0];
  if (status == 'I') {
    // A block that nobody has ended is gone with its backend.
    if (status_ != 'I') lost_ = true;
    settings_.End(status_ == 'I');
    OnSettingsChanged();
  }
  status_ = status;
  for (const std::string& name : ModelSettings::Reported()) {
    const std::string value = *settings_.Get(name);
    const auto told = reported_.find(name);
    const std::string view = told == reported_.end() ? ModelSettings::Default(name) : told->second;
    // Where a setting could not be replayed, its change back is none to the server.
    CHECK(lost_ || refused_ || view == value);
  }
}

std::string ModelClient::CheckText(const Told& told, const Known& expected) const {
  // A DEALLOCATE of a name goes to the server under another name.
  CHECK(told.text == expected.text || expected.text.starts_with("DEALLOCATE"));
  // What changes a setting that cannot be replayed runs without it.
  CHECK(expected.lexed.contains(told.lexed) || (refused_ && ChangesSettings(told.text)));
  return told.lexed;
}

void ModelClient::CheckSettings(std::string_view all) const {
  if (all == settings_.All()) return;
  CHECK(initial_reset_);
  const auto either = [](std::string text) {
    const std::string given = ModelSettings::Default(ModelSettings::kInitialName);
    const size_t at = text.find(std::string(ModelSettings::kInitialName) + "=" + given + ";");
    if (at != std::string::npos)
      text.replace(at + ModelSettings::kInitialName.size() + 1, given.size(),
                   ModelSettings::kInitialValue);
    return text;
  };
  CHECK(either(std::string(all)) == either(settings_.All()));
}

void ModelClient::OnExecuteReply(const Message& message) {
  CHECK(portal_.has_value() && Possible(portal_->text));
  switch (message.type) {
    case 'D':
    case 'C':
      OnRun(message, *portal_);
      if (message.type == 'C') expected_.pop_front();
      return;
    case 'G':
      return OnCopyIn();
    default:
      CHECK(false);
  }
}

ModelClient::Known ModelClient::Asked(const Known& asked) {
  if (!asked.text.starts_with("EXECUTE ")) return asked;
  const std::string name = asked.text.substr(8);
  CHECK(IsKnown(name));
  return names_[name];
}

// A row of what was asked, or its end.
void ModelClient::OnRun(const Message& message, const Known& text) {
  const Known asked = Asked(text);
  const Told told = ToldBy(message);
  const std::string lexed = CheckText(told, asked);
  if (message.type == 'C') {
    copying_ = false;
    Effects(asked.text, lexed);
  }
  const bool exempt = refused_ && ChangesSettings(asked.text);
  if (message.type == 'C' || !exempt) CheckSettings(told.all);
}

void ModelClient::OnQueryReply(const Message& message) {
  Expected& query = expected_.front();
  const std::vector<std::string> parts = PartsOf(query.text);
  if (query.lexed.empty()) query.lexed = settings_.Lexed();
  switch (message.type) {
    case 'T':
      return;
    case 'G':
      return OnCopyIn();
    case 'D':
    case 'C':
      CHECK(query.done < parts.size());
      OnRun(message, {parts[query.done], {query.lexed}});
      if (message.type == 'C') ++query.done;
      return;
    case 'Z':
      CHECK(query.failed || query.done == parts.size());
      ForgetUnnamed(query.lost);
      portal_.reset();
      OnReady(message);
      expected_.pop_front();
      return;
    default:
      CHECK(false);
  }
}

void ModelClient::OnParsed() {
  const Expected& parse = expected_.front();
  CHECK(parse.name.empty() || !IsKnown(parse.name));
  CHECK(Possible(parse.text));
  names_[parse.name] = {parse.text, {settings_.Lexed()}};
}

void ModelClient::OnBound() {
  const Expected& bind = expected_.front();
  CHECK(IsKnown(bind.name));
  portal_ = names_[bind.name];
  CHECK(Possible(portal_->text));
}

// While the server waits for data it does not answer the Syncs that were sent right behind.
void ModelClient::OnCopyIn() {
  if (expected_.front().copied) return;
  copying_ = true;
  while (expected_.size() > 1 && expected_[1].type == 'S') expected_.erase(expected_.begin() + 1);
  if (expected_.size() == 1 && expected_.front().type == 'E') open_batch_ = true;
}

void ModelClient::OnError(const Message& message) {
  CHECK(!skipping_);
  const std::string_view code = postgres::ErrorField(message.body, 'C');
  CHECK(message.body.find("__weir_own") == std::string::npos);
  copying_ = false;
  if (code == kOwnFails || code == kLostCode) refused_ = true;
  if (status_ == 'I') {
    settings_.End(false);
  } else if (status_ == 'T') {
    settings_.Abort();
  }
  OnSettingsChanged();
  if (expected_.empty() || expected_.front().type == 'S') {
    // Nothing else was asked for: the batch has fallen with its backend.
    CHECK(code == kLostCode && (open_batch_ || !expected_.empty()));
    skipping_ = expected_.empty();
    return;
  }
  Expected& head = expected_.front();
  switch (head.type) {
    case 'Q':
      if (code == "26000" && head.text.starts_with("EXECUTE ")) {
        CHECK(!IsKnown(head.text.substr(8)));
      } else if (code == "26000") {
        CHECK(head.text.starts_with("DEALLOCATE") &&
              !IsKnown(head.text.ends_with("a") ? "a" : "b"));
      }
      if (code == "42P05") CHECK(IsKnown(head.text.substr(8, 1)));
      head.failed = true;
      head.lost = code == kLostCode;
      return;
    case 'P':
      if (code == "42P05") CHECK(IsKnown(head.name));
      if (head.name.empty()) ForgetUnnamed(code == kLostCode);
      break;
    case 'B':
    case 'D':
      if (code == "26000") CHECK(!IsKnown(head.name) || names_[head.name].maybe_gone);
      break;
    default:
      break;
  }
  skipping_ = true;
  while (!expected_.empty() && expected_.front().type != 'S') expected_.pop_front();
  if (expected_.empty()) open_batch_ = true;
}

// `lost`: what was to take it away may not have come to the server.
void ModelClient::ForgetUnnamed(bool lost) {
  if (!lost) {
    names_.erase("");
  } else if (IsKnown("")) {
    names_[""].maybe_gone = true;
  }
}

void ModelClient::OnSettingsChanged() {
  for (auto& [name, known] : names_) {
    if (!known.from_sql) known.lexed.insert(settings_.Lexed());
  }
}

void ModelClient::Effects(std::string_view text, std::string_view lexed) {
  if (text == "SAVEPOINT s") settings_.Savepoint();
  if (text == "ROLLBACK TO s") {
    CHECK(settings_.RollbackTo());
    status_ = 'T';
  }
  if (EndsTransaction(text)) {
    settings_.End(text == "COMMIT" && status_ != 'E');
    status_ = 'I';
  }
  if (text == "BEGIN" && status_ == 'I') status_ = 'T';
  CHECK(settings_.Run(text, ModelSettings::Escapes(lexed)));
  if (text.starts_with("RESET") || text.ends_with("DEFAULT") || text == "DISCARD ALL")
    initial_reset_ = options_.initial;
  OnSettingsChanged();
  if (text.starts_with("PREPARE ")) {
    names_[std::string(text.substr(8, 1))] = {
        .text = std::string(text.substr(text.find(" AS ") + 4)),
        .lexed = {settings_.Lexed()},
        .from_sql = true};
  }
  if (text == "DISCARD ALL" || text == "DEALLOCATE ALL" || text == "DEALLOCATE PREPARE ALL") {
    std::erase_if(names_, [](const auto& each) { return !each.first.empty(); });
  } else if (text == "DEALLOCATE a") {
    names_.erase("a");
  } else if (text.starts_with("DEALLOCATE PREPARE")) {
    names_.erase("b");
  }
}

}  // namespace weir::fuzz
