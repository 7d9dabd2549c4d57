#include "protocol/postgres/server_login.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/text.h"
#include "protocol/postgres/encode.h"
#include "protocol/postgres/format.h"
#include "protocol/postgres/sql_settings.h"
#include "protocol/wire/cursor.h"
#include "protocol/wire/writer.h"

namespace weir::postgres {

using protocol::Cursor;
using protocol::LoginFailure;
using protocol::Writer;
using Next = protocol::ServerLogin::Next;

namespace {

// Nothing that a server says during a login is longer.
constexpr uint32_t kMessageMax = 64 * 1024;
// ... and no row of an answer.
constexpr uint32_t kRowMax = 4 * 1024 * 1024;

// reserved_connections exists from PostgreSQL 16 on.
constexpr std::string_view kFactsQuery =
    "SELECT pg_catalog.current_setting('max_connections'), "
    "pg_catalog.current_setting('superuser_reserved_connections'), "
    "coalesce(pg_catalog.current_setting('reserved_connections', true), '0')";
// What ALTER ROLE and ALTER DATABASE ... SET have given to the role that has logged in. Later the
// session may be another role's: then its oid is known.
constexpr std::string_view kRole =
    "(SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user)";

std::string GenerationQuery(std::string_view role) {
  return engine::Cat(kFactsQuery,
                     ", (SELECT pg_catalog.hashtextextended(coalesce(pg_catalog.string_agg("
                     "pg_catalog.concat_ws(' ', setdatabase, setrole, setconfig), '|' "
                     "ORDER BY setdatabase, setrole), ''), 0) FROM pg_catalog.pg_db_role_setting "
                     "WHERE setrole IN (0, ",
                     role,
                     ") AND setdatabase IN (0, (SELECT oid FROM "
                     "pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))), ",
                     role);
}

void AppendQuery(std::string& out, std::string_view sql) {
  Writer writer(out);
  writer.Begin(frontend::kQuery).CString(sql);
  writer.End();
}

// Where the server says that a role or a database has its CONNECTION LIMIT; that the server is full
// is said elsewhere.
bool IsLimitOfRoute(std::string_view routine) {
  return routine == "InitializeSessionUserId" || routine == "CheckMyDatabase";
}

LoginFailure FailureOf(std::string_view sqlstate, std::string_view routine) {
  if (sqlstate == "3D000") return LoginFailure::kDatabase;
  if (sqlstate == "53300")
    return IsLimitOfRoute(routine) ? LoginFailure::kRouteFull : LoginFailure::kTooMany;
  if (sqlstate == "57P03") return LoginFailure::kStarting;
  if (sqlstate == "28P01") return LoginFailure::kPassword;
  if (sqlstate.starts_with("28")) return LoginFailure::kAuthentication;
  // The administrator has ended it: it is going down, or has restarted.
  if (sqlstate.starts_with("57P0")) return LoginFailure::kStarting;
  return LoginFailure::kOther;
}

}  // namespace

PostgresServerLogin::PostgresServerLogin(Options options, engine::Entropy& entropy)
    : options_(std::move(options)), entropy_(entropy) {}

PostgresServerLogin::~PostgresServerLogin() { protocol::Wipe(options_.password); }

Next PostgresServerLogin::Fail(LoginFailure failure, std::string text) {
  state_ = State::kFailed;
  failure_ = failure;
  failure_text_ = std::move(text);
  return Next::kFailed;
}

Next PostgresServerLogin::OnBytes(engine::Bytes in, std::string& out) {
  if (state_ == State::kTlsAsked) return in.empty() ? Next::kReceive : OnTlsAnswer(in, out);
  partial_ += engine::AsText(in);
  size_t taken = 0;
  Next next = Next::kReceive;
  // When the login is over a notice, a parameter or an error may follow in the same bytes.
  while ((next == Next::kReceive || next == Next::kDone) && partial_.size() - taken >= 5) {
    Cursor cursor(std::string_view(partial_).substr(taken));
    const uint8_t type = cursor.U8();
    const uint32_t length = cursor.U32();
    if (length < 4 || length > (state_ == State::kRows ? kRowMax : kMessageMax))
      return Fail(LoginFailure::kProtocol, "the server does not speak PostgreSQL's protocol");
    if (cursor.rest().size() < length - 4) break;
    const std::string body(cursor.Bytes(length - 4));
    taken += 1 + length;
    const Next each = OnMessage(type, body, out);
    if (next != Next::kDone || each != Next::kReceive) next = each;
  }
  partial_.erase(0, taken);
  // Who reads on must begin with a whole message.
  if (next == Next::kDone && !partial_.empty())
    return Fail(LoginFailure::kProtocol, "the server sent a part of a message behind the login");
  return next;
}

Next PostgresServerLogin::OnMessage(uint8_t type, std::string_view body, std::string& out) {
  switch (type) {
    case backend::kErrorResponse:
      return OnError(body);
    case backend::kNoticeResponse:
    case backend::kNotificationResponse:
    case backend::kNegotiateProtocolVersion:
      return Next::kReceive;
    case backend::kParameterStatus:
      OnParameter(body);
      return Next::kReceive;
    case backend::kAuthentication:
      return OnAuthentication(body, out);
    case backend::kBackendKeyData: {
      if (state_ == State::kReady) break;
      Cursor cursor(body);
      process_id_ = cursor.U32();
      secret_ = std::string(cursor.rest());
      return Next::kReceive;
    }
    case backend::kReadyForQuery:
      return OnReady(out);
    case backend::kDataRow:
      if (state_ == State::kReady) break;
      if (state_ == State::kFacts) OnFactsRow(body);
      if (state_ == State::kInitial) OnInitialRow(body);
      if (state_ == State::kRows) rows_->OnRow(body);
      return Next::kReceive;
    default:
      if (state_ >= State::kFacts && state_ <= State::kRows) {
        const bool copy = type == backend::kCopyInResponse || type == backend::kCopyBothResponse;
        return copy ? Fail(LoginFailure::kInitQuery, "init_query must not COPY from the client")
                    : Next::kReceive;
      }
      break;
  }
  return Fail(LoginFailure::kProtocol, "unexpected message from the server during the login");
}

Next PostgresServerLogin::OnReady(std::string& out) {
  if (state_ == State::kReport) {
    protocol::Wipe(options_.password);
    // A walsender for physical replication takes no such query.
    for (const auto& [name, value] : options_.parameters) {
      if (name == "replication" && value != "database") {
        state_ = State::kReady;
        return Next::kDone;
      }
    }
    AskFacts(out);
    return Next::kReceive;
  }
  if (state_ == State::kFacts && facts_refused_) {
    facts_refused_ = false;
    AskFacts(out);
    return Next::kReceive;
  }
  if (state_ == State::kFacts && !done_once_ && !options_.init_query.empty()) {
    AppendQuery(out, options_.init_query);
    state_ = State::kInitQuery;
    return Next::kReceive;
  }
  if (state_ == State::kInitQuery && AskInitial(out)) return Next::kReceive;
  if (state_ < State::kFacts || state_ > State::kRows) {
    return Fail(LoginFailure::kProtocol, "unexpected ReadyForQuery from the server");
  }
  done_once_ = true;
  state_ = State::kReady;
  return Next::kDone;
}

// Which settings has init_query made? They are what every session begins with.
bool PostgresServerLogin::AskInitial(std::string& out) {
  SettingNames found = SettingsOf(options_.init_query, {});
  std::sort(found.names.begin(), found.names.end());
  found.names.erase(std::unique(found.names.begin(), found.names.end()), found.names.end());
  if (found.names.empty()) return false;
  std::string sql = "SELECT ";
  for (const std::string& name : found.names) {
    std::string quoted;
    for (const char c : name) quoted.append(c == '\'' || c == '\\' ? 2 : 1, c);
    engine::Append(sql, initial_.empty() ? "" : ", ", "pg_catalog.current_setting(E'", quoted,
                   "', true)");
    initial_.emplace_back(name, std::string());
  }
  AppendQuery(out, sql);
  state_ = State::kInitial;
  return true;
}

void PostgresServerLogin::OnInitialRow(std::string_view body) {
  Cursor cursor(body);
  const uint16_t columns = cursor.U16();
  protocol::Parameters known;
  for (uint16_t i = 0; i < columns && i < initial_.size(); ++i) {
    const uint32_t length = cursor.U32();
    if (length == UINT32_MAX) continue;
    known.emplace_back(initial_[i].first, std::string(cursor.Bytes(length)));
  }
  initial_ = std::move(known);
}

void PostgresServerLogin::AskFacts(std::string& out) {
  const std::string_view role = role_.empty() ? kRole : std::string_view(role_);
  AppendQuery(out, may_read_settings_ ? GenerationQuery(role) : std::string(kFactsQuery));
  state_ = State::kFacts;
}

void PostgresServerLogin::AskRows(std::string_view sql, protocol::RowSink& sink, std::string& out) {
  CHECK(state_ == State::kReady);
  AppendQuery(out, sql);
  rows_ = &sink;
  rows_failed_ = false;
  state_ = State::kRows;
}

Next PostgresServerLogin::OnError(std::string_view body) {
  server_error_.clear();
  Writer writer(server_error_);
  writer.Begin(backend::kErrorResponse).Raw(body);
  writer.End();
  const std::string_view sqlstate = ErrorField(body, 'C');
  const std::string_view severity = ErrorField(body, 'V');
  const bool goes_on = severity != "FATAL" && severity != "PANIC";
  if (state_ == State::kFacts && may_read_settings_ && goes_on) {
    may_read_settings_ = false;
    facts_refused_ = true;
    server_error_.clear();
    return Next::kReceive;
  }
  const std::string text(ErrorField(body, 'M'));
  if (state_ == State::kRows && goes_on) {
    rows_failed_ = true;
    return Next::kReceive;
  }
  if (state_ == State::kInitQuery)
    return Fail(LoginFailure::kInitQuery, engine::Cat("init_query failed: ", text));
  return Fail(FailureOf(sqlstate, ErrorField(body, 'R')), text);
}

void PostgresServerLogin::OnParameter(std::string_view body) {
  Cursor cursor(body);
  const std::string_view name = cursor.CString();
  const std::string_view value = cursor.CString();
  if (!cursor.ok()) return;
  for (auto& [known, old] : parameters_) {
    if (known == name) {
      old = std::string(value);
      return;
    }
  }
  parameters_.emplace_back(name, value);
}

void PostgresServerLogin::OnFactsRow(std::string_view body) {
  Cursor cursor(body);
  uint32_t* const facts[] = {&facts_.max_connections, &facts_.superuser_reserved_connections,
                             &facts_.reserved_connections};
  const uint16_t columns = cursor.U16();
  for (uint16_t i = 0; i < columns && i < 3; ++i) {
    const std::string_view value = cursor.Bytes(cursor.U32());
    std::from_chars(value.data(), value.data() + value.size(), *facts[i]);
  }
  facts_.generation = 0;
  if (columns < 5) return;
  const uint32_t length = cursor.U32();
  if (length == UINT32_MAX) return;
  const std::string_view hash = cursor.Bytes(length);
  int64_t generation = 0;
  std::from_chars(hash.data(), hash.data() + hash.size(), generation);
  const std::string_view role = cursor.Bytes(cursor.U32());
  const bool number =
      std::all_of(role.begin(), role.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!cursor.ok() || role.empty() || !number) return;
  facts_.generation = generation == 0 ? 1 : static_cast<uint64_t>(generation);
  role_ = std::string(role);
}

}  // namespace weir::postgres
