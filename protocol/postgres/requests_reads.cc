// Reads that may be in flight together with those of other clients: the client's half.
//
// A read is a whole request of one plain statement: a Query, or Parse (unnamed), Bind, Describe,
// Execute without a row limit, Close of a portal, Sync, at most one of each but for the last. Who
// asks has nothing under way, nothing that keeps its backend, and nothing that is to be asked
// afterwards. So all that it leaves is its unnamed statement, which is the client's as ever, and it
// may be sent again.
//
// What it needs on the backend goes ahead of it: its statement, or the unnamed one, if another is
// there.
#include <cstdint>
#include <string>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "protocol/postgres/format.h"
#include "protocol/postgres/own_messages.h"
#include "protocol/postgres/request_cursor.h"
#include "protocol/postgres/requests.h"
#include "protocol/wire/cursor.h"

namespace weir::postgres {

using protocol::Read;

namespace {

constexpr std::string_view kNul("\0", 1);

// How far a batch is read: what has come so far.
enum class Stage : uint8_t { kNothing, kParse, kBind, kExecute };

// The message at the front of `left`, taken off it; its type is 0 if there is none.
struct Message {
  uint8_t type = 0;
  std::string_view body;
};

Message TakeMessage(std::string_view& left) {
  protocol::Cursor header(left);
  const uint8_t type = header.U8();
  const uint32_t length = header.U32();
  if (!header.ok() || length < 4 || length - 4 > header.rest().size()) return {};
  const std::string_view body = header.rest().substr(0, length - 4);
  left.remove_prefix(length + 1);
  return {type, body};
}

// A look at its first byte: most texts that are no reads need not be scanned to find that out.
bool MayBeginRead(std::string_view text) {
  static constexpr std::string_view kBeginnings = "sSwWvVtT(/- \t\r\n\f\v";
  return !text.empty() && kBeginnings.find(text.front()) != std::string_view::npos;
}

}  // namespace

// Nothing of the session's is uncertain, or to be asked, or to be told.
bool PostgresRequests::MayRead() const {
  const bool changes = (changes_ != nullptr && !changes_->empty()) ||
                       (unnamed_changes_ != nullptr && !unnamed_changes_->empty());
  const bool asks = touched_ != nullptr || named_touched_ != nullptr || rebase_ != nullptr ||
                    (suspects_ | stands_) != 0 || doubted_ || settings_unknown_ ||
                    places_skipped_ || unknown_names_ || moves_base_;
  const bool marked = marks_.pin_reason != 0 || marks_.ddl || marks_.resets ||
                      marks_.reads_sequence || marks_.writes_sequence;
  return body_left_ == 0 && refusal_ == nullptr && !skip_to_sync_ && !changes && !asks && !marked &&
         !exempt_ && profile_.idle_timeout_ms() == 0 &&
         (careful_profile_ == 0 || careful_profile_ != profile_.id());
}

Read PostgresRequests::FindRead(Bytes in, const protocol::CatalogueView& view) {
  const auto* catalogue = static_cast<const Catalogue*>(view.now);
  // What the text does not show, must be known.
  if (catalogue == nullptr || in.size() > Read::kBytesMax || !MayRead()) return {};
  const std::string_view request = engine::AsText(in);
  context_.read = {};
  context_.read.catalogue = catalogue;
  const bool found = !request.empty() && request[0] == frontend::kQuery
                         ? FindQuery(request, catalogue)
                         : FindBatch(request, catalogue);
  if (!found) return {};
  const Verdict& verdict = context_.read.verdict;
  const bool write = WEIR_FAULT("write_joins") && verdict.flags == Verdict::kWritesSequence;
  if (!MayJoin(verdict) && !write) return {};
  context_.read.of = this;
  return {static_cast<uint32_t>(in.size()), context_.read.verdict.kind};
}

bool PostgresRequests::FindQuery(std::string_view request, const Catalogue* catalogue) {
  const Message query = TakeMessage(request);
  if (query.type != frontend::kQuery || !request.empty() || query.body.empty() ||
      query.body.find('\0') != query.body.size() - 1 || !MayBeginRead(query.body))
    return false;
  context_.read.verdict = Scan(query.body.substr(0, query.body.size() - 1), LexMode(), catalogue);
  return true;
}

bool PostgresRequests::FindBatch(std::string_view request, const Catalogue* catalogue) {
  RequestsContext::FoundRead& found = context_.read;
  found.binds = true;
  std::string_view portal;
  std::string_view left = request;
  for (Stage stage = Stage::kNothing;;) {
    const auto at = static_cast<uint32_t>(request.size() - left.size());
    const Message message = TakeMessage(left);
    protocol::Cursor body(message.body);
    switch (message.type) {
      case frontend::kParse:
        if (stage != Stage::kNothing || !body.CString().empty() || !MayBeginRead(body.rest()))
          return false;
        found.verdict = Scan(body.CString(), LexMode(), catalogue);
        found.parses = true;
        stage = Stage::kParse;
        break;
      case frontend::kBind:
        if (stage > Stage::kParse || !FindBind(message.body, catalogue, portal)) return false;
        found.bind_at = at;
        stage = Stage::kBind;
        break;
      case frontend::kDescribe: {
        const bool statement = body.U8() == 'S';
        if (statement ? stage != Stage::kParse || !body.CString().empty()
                      : stage != Stage::kBind || body.CString() != portal)
          return false;
        break;
      }
      case frontend::kExecute:
        if (stage != Stage::kBind || body.CString() != portal || body.U32() != 0) return false;
        stage = Stage::kExecute;
        break;
      case frontend::kClose:
        if (stage != Stage::kExecute || body.U8() != 'P') return false;
        body.CString();
        break;
      case frontend::kSync:
        return stage == Stage::kExecute && message.body.empty() && left.empty();
      default:
        return false;
    }
    if (!body.ok()) return false;
  }
}

bool PostgresRequests::FindBind(std::string_view body, const Catalogue* catalogue,
                                std::string_view& portal) {
  RequestsContext::FoundRead& found = context_.read;
  protocol::Cursor cursor(body);
  portal = cursor.CString();
  const std::string_view name = cursor.CString();
  if (!cursor.ok()) return false;
  if (found.parses) return name.empty();
  if (name.empty()) {
    if (unnamed_.tag == 0 || unnamed_.parse_tail.empty() || unnamed_.deallocates != nullptr)
      return false;
    const bool known = unnamed_.catalogue == catalogue->number && unnamed_.lex_mode == LexMode();
    found.verdict =
        known ? unnamed_.verdict : Scan(unnamed_.parse_tail.c_str(), LexMode(), catalogue);
    return true;
  }
  const Statement* statement = names_.Find(name);
  if (!IsShared(statement) || statement->parse_key() != profile_.parse_key()) return false;
  found.statement = statement;
  found.verdict = VerdictOn(catalogue, LexMode(), *statement);
  return true;
}

bool PostgresRequests::StartRead(Bytes request, protocol::Replies& replies,
                                 protocol::ExchangeSink& sink) {
  auto& backend = static_cast<PostgresReplies&>(replies);
  const RequestsContext::FoundRead& found = context_.read;
  CHECK(found.of == this);
  const bool equal = backend.InProfile(profile_) || WEIR_FAULT("joined_in_another_profile");
  if (!backend.TakesReads() || !equal || backend.catalogue() != found.catalogue) return false;
  OwedRead read{.reader = this};
  const std::string_view bytes = engine::AsText(request);
  std::string& out = context_.scratch;
  out.clear();
  if (!found.binds) {
    // A Query destroys the session's unnamed statement.
    unnamed_.tag = 0;
    backend.set_unnamed_tag(0);
    out.append(bytes);
  } else {
    earlier_drops_ = bound_drops_ = false;
    bound_deallocate_.reset();
    if (found.statement != nullptr) {
      if (!PrepareForRead(backend, read, out)) return false;
      AppendBind(bytes, out);
    } else {
      if (found.parses) {
        KeepUnnamed(backend, bytes);
        read.parse_left = read.parses_unnamed = true;
      } else {
        ParseUnnamedForRead(backend, read, out);
      }
      out.append(bytes);
    }
  }
  backend.PushRead(read);
  sink.InsertToServer(engine::AsBytes(out));
  return true;
}

// Its statement goes ahead of it where it is missing. False: another read is about to prepare it,
// and may fail.
bool PostgresRequests::PrepareForRead(PostgresReplies& backend, OwedRead& read, std::string& out) {
  const Statement& statement = *context_.read.statement;
  PreparedSet& prepared = backend.prepared();
  if (prepared.Contains(statement.id)) {
    if (backend.ReadParses(statement.id)) return false;
    prepared.Touch(statement.id);
    return true;
  }
  if (prepared.size() >= context_.options.prepared_max) {
    // What gives way must be known to be there.
    if (backend.AnyReadParses()) return false;
    if (const StatementId victim = prepared.Victim(statement.id); victim != 0) {
      AppendMessage(out, frontend::kClose, {"S", ServerName(victim), kNul});
      prepared.Remove(victim);
      ++read.own_left;
    }
  }
  const std::string name = ServerName(statement.id);
  if (backend.close_first()) {
    AppendMessage(out, frontend::kClose, {"S", name, kNul});
    ++read.own_left;
  }
  AppendMessage(out, frontend::kParse, {name, kNul, statement.parse_tail()});
  ++read.own_left;
  read.parses = statement.id;
  prepared.Add(statement.id);
  return true;
}

// The statement of the Parse that the request begins with.
void PostgresRequests::KeepUnnamed(PostgresReplies& backend, std::string_view request) {
  const RequestsContext::FoundRead& found = context_.read;
  unnamed_.tag = ++context_.unnamed_tags;
  unnamed_.verdict = found.verdict;
  unnamed_.lex_mode = LexMode();
  unnamed_.catalogue = found.catalogue->number;
  unnamed_.deallocates.reset();
  unnamed_.parse_tail.assign(TakeMessage(request).body.substr(1));
  backend.set_unnamed_tag(unnamed_.tag);
}

// The one that was parsed before goes ahead where another is.
void PostgresRequests::ParseUnnamedForRead(PostgresReplies& backend, OwedRead& read,
                                           std::string& out) {
  if (backend.unnamed_tag() == unnamed_.tag) return;
  AppendMessage(out, frontend::kParse, {kNul, unnamed_.parse_tail});
  ++read.own_left;
  read.parses_unnamed = true;
  backend.set_unnamed_tag(unnamed_.tag);
}

// The request with the server's name of its statement in its Bind.
void PostgresRequests::AppendBind(std::string_view request, std::string& out) const {
  out.append(request.substr(0, context_.read.bind_at));
  std::string_view left = request.substr(context_.read.bind_at);
  const std::string_view body = TakeMessage(left).body;
  protocol::Cursor cursor(body);
  const std::string_view portal = cursor.CString();
  cursor.CString();
  AppendMessage(out, frontend::kBind,
                {portal, kNul, ServerName(context_.read.statement->id), kNul, cursor.rest()});
  out.append(left);
}

void PostgresRequests::OnReadEnded(bool refused) {
  // A Parse of the unnamed statement that is refused has destroyed what was there.
  if (refused) unnamed_.tag = 0;
}

void PostgresRequests::RefuseRead(Bytes error, protocol::ExchangeSink& sink) {
  static constexpr uint8_t kReady[] = {backend::kReadyForQuery, 0, 0, 0, 5, 'I'};
  sink.InsertToClient(error);
  sink.InsertToClient(kReady);
}

}  // namespace weir::postgres
