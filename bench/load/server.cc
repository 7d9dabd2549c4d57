#include "bench/load/server.h"

#include <sys/socket.h>

#include <algorithm>
#include <vector>

#include "engine/address.h"
#include "engine/base/text.h"
#include "engine/socket.h"
#include "protocol/postgres/format.h"
#include "protocol/wire/cursor.h"

namespace weir::load {

namespace backend = postgres::backend;
namespace frontend = postgres::frontend;
using engine::Nanos;
using protocol::Cursor;

namespace {

constexpr int kBacklog = 4096;

// What is said again and again, made once.
struct Canned {
  const std::string facts = FactsReply();
  const std::string set = DoneReply("SET");
  const std::string row_description = RowDescription();
  const std::string parameters = ParameterDescription();
  const std::string ready = ReadyForQuery();
  const std::string parse_complete = Bare(backend::kParseComplete);
  const std::string bind_complete = Bare(backend::kBindComplete);
  const std::string close_complete = Bare(backend::kCloseComplete);
  Template row = Row();
};

Canned& canned() {
  static Canned all;
  return all;
}

}  // namespace

class ServerSession final : public Socket {
 public:
  ServerSession(Server& server, int fd, uint32_t number)
      : Socket(server.poller_, fd), server_(server), number_(number) {}

 protected:
  size_t OnBytes(std::string_view bytes) override;
  void OnEnd(int) override { End(); }

 private:
  // False if the connection has ended.
  bool OnStartup(std::string_view& bytes);
  void OnMessage(char type, std::string_view body);
  void OnQuery(std::string_view sql);
  void OnParse(std::string_view body);
  void OnBind(std::string_view body);
  void OnDescribe(std::string_view body);
  void OnClose(std::string_view body);
  void Error(std::string_view sqlstate, std::string_view text);
  void Begin(std::string_view key);
  void AppendRow(std::string_view key) { out_ += canned().row.With(key); }
  void End() {
    server_.sessions_.erase(number_);
    Die();
  }

  Server& server_;
  const uint32_t number_;
  bool started_ = false;
  bool failed_ = false;  // until the next Sync
  std::string key_;      // of the bound portal
  std::vector<std::string> statements_;
  std::string out_;  // what is said to the bytes in hand
  Nanos free_at_ = 0;
};

size_t ServerSession::OnBytes(std::string_view bytes) {
  const size_t all = bytes.size();
  out_.clear();
  if (!started_ && !OnStartup(bytes)) return all;
  char type = 0;
  std::string_view body;
  while (started_ && NextMessage(bytes, type, body)) {
    if (type == frontend::kTerminate) {
      End();
      return all;
    }
    OnMessage(type, body);
  }
  if (!out_.empty()) server_.Say(number_, out_, free_at_);
  return all - bytes.size();
}

// It works on this question now.
void ServerSession::Begin(std::string_view key) {
  if (!IsLate(key, server_.late_answers_.every)) return;
  if (!out_.empty()) server_.Say(number_, out_, free_at_);
  out_.clear();
  free_at_ = std::max(free_at_, engine::MonotonicNow()) + server_.late_answers_.time;
}

bool ServerSession::OnStartup(std::string_view& bytes) {
  while (!started_ && bytes.size() >= 8) {
    Cursor cursor(bytes);
    const uint32_t length = cursor.U32();
    const uint32_t code = cursor.U32();
    if (length < 8 || length > postgres::kStartupLengthMax) Fail("a malformed startup packet came");
    if (bytes.size() < length) return true;
    bytes.remove_prefix(length);
    if (code == postgres::kSslRequestCode || code == postgres::kGssEncRequestCode) {
      out_ += 'N';
    } else if (code == postgres::kProtocolMajor << 16) {
      started_ = true;
      out_ += Greeting(number_);
    } else {  // a cancel request
      End();
      return false;
    }
  }
  return true;
}

void ServerSession::OnMessage(char type, std::string_view body) {
  if (failed_ && type != frontend::kSync) return;
  switch (type) {
    case frontend::kQuery:
      return OnQuery(body.substr(0, body.find('\0')));
    case frontend::kParse:
      return OnParse(body);
    case frontend::kBind:
      return OnBind(body);
    case frontend::kDescribe:
      return OnDescribe(body);
    case frontend::kExecute:
      Begin(key_);
      return AppendRow(key_);
    case frontend::kClose:
      return OnClose(body);
    case frontend::kFlush:
      return;
    case frontend::kSync:
      failed_ = false;
      out_ += canned().ready;
      return;
    default:
      Fail(engine::Cat("the server got a message that it does not know: ", type));
  }
}

void ServerSession::OnQuery(std::string_view sql) {
  const size_t equals = sql.rfind("aid = ");
  if (equals != std::string_view::npos && sql.size() >= equals + 6 + kKeyDigits) {
    const std::string_view key = sql.substr(equals + 6, kKeyDigits);
    if (IsBigQuestion(sql)) {
      out_ += BigAnswer(key);
    } else {
      Begin(key);
      out_ += canned().row_description;
      AppendRow(key);
      out_ += canned().ready;
    }
  } else if (sql.find("max_connections") != std::string_view::npos) {
    out_ += canned().facts;
  } else if (const std::string reply = CatalogueReply(sql); !reply.empty()) {
    out_ += reply;
  } else {
    out_ += canned().set;
  }
}

void ServerSession::OnParse(std::string_view body) {
  const std::string_view name = Cursor(body).CString();
  if (!name.empty()) {
    if (std::find(statements_.begin(), statements_.end(), name) != statements_.end())
      return Error("42P05", engine::Cat("prepared statement \"", name, "\" already exists"));
    statements_.emplace_back(name);
  }
  out_ += canned().parse_complete;
}

void ServerSession::OnBind(std::string_view body) {
  Cursor cursor(body);
  cursor.CString();  // the portal
  const std::string_view name = cursor.CString();
  if (!name.empty() && std::find(statements_.begin(), statements_.end(), name) == statements_.end())
    return Error("26000", engine::Cat("prepared statement \"", name, "\" does not exist"));
  for (uint16_t formats = cursor.U16(); formats > 0 && cursor.ok(); --formats) cursor.U16();
  cursor.U16();  // one parameter
  key_ = cursor.Bytes(cursor.U32());
  if (key_.size() != kKeyDigits) Fail("a Bind without a key came");
  out_ += canned().bind_complete;
}

void ServerSession::OnDescribe(std::string_view body) {
  if (body.starts_with('S')) out_ += canned().parameters;
  out_ += canned().row_description;
}

void ServerSession::OnClose(std::string_view body) {
  Cursor cursor(body);
  if (cursor.U8() == 'S') std::erase(statements_, cursor.CString());
  out_ += canned().close_complete;
}

void ServerSession::Error(std::string_view sqlstate, std::string_view text) {
  failed_ = true;
  out_ += ErrorReply(sqlstate, text);
}

class Server::Listener final : public Socket {
 public:
  Listener(Server& server, int fd) : Socket(server.poller_, fd, true), server_(server) {}

 protected:
  size_t OnBytes(std::string_view) override { return 0; }
  void OnEnd(int) override {}
  void OnAcceptable() override { server_.Accept(); }

 private:
  Server& server_;
};

Server::Server(Poller& poller, uint16_t port, Nanos distance, LateAnswers late)
    : poller_(poller), distance_(distance), late_answers_(late) {
  const absl::StatusOr<int> fd =
      engine::OpenListener(*engine::Address::FromHost("127.0.0.1", port), kBacklog);
  if (!fd.ok()) Fail(std::string(fd.status().message()));
  listener_ = std::make_unique<Listener>(*this, *fd);
}

Server::~Server() = default;

void Server::Accept() {
  // It inherits TCP_NODELAY.
  const int fd = accept4(listener_->fd(), nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) return;
  const uint32_t number = ++next_session_;
  sessions_[number] = new ServerSession(*this, fd, number);
}

void Server::Say(uint32_t session, std::string_view bytes, Nanos free_at) {
  if (distance_ == 0 && late_answers_.every == 0) {
    sessions_.at(session)->Send(bytes);
  } else {
    const Nanos said = std::max(engine::MonotonicNow(), free_at);
    late_.emplace(said + distance_, Late{session, std::string(bytes)});
  }
}

Nanos Server::Tick(Nanos now) {
  while (!late_.empty() && late_.begin()->first <= now) {
    const Late& late = late_.begin()->second;
    const auto found = sessions_.find(late.session);
    if (found != sessions_.end()) found->second->Send(late.bytes);
    late_.erase(late_.begin());
  }
  return late_.empty() ? engine::kForever : late_.begin()->first;
}

}  // namespace weir::load
