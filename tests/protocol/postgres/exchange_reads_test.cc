// Reads of several clients in flight on one backend: what is one, who gets which reply, what is
// left behind.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/protocol/postgres/exchange_pair.h"

namespace weir::postgres {
namespace {

std::string DescribePortal() { return Message('D', "P" + Z("")); }
std::string ClosePortal() { return Message('C', "P" + Z("")); }
std::string ExecuteSome() { return Message('E', Z("") + std::string("\0\0\0\4", 4)); }
std::string Batch(std::string_view name) {
  return Bind(name) + DescribePortal() + Execute() + Sync();
}
std::string Batch(std::string_view name, std::string_view sql) {
  return Parse(name, sql) + Batch(name);
}
std::string Answer(std::string_view row) {
  return Message('2', "") + Message('T', "t") + Row(row) + Complete("SELECT 1") + Ready('I');
}
std::string Parsed() { return Message('1', ""); }
std::string Closed() { return Message('3', ""); }
std::string Answer(const std::string& before, std::string_view row) { return before + Answer(row); }
std::string AnswerOfQuery(std::string_view row) {
  return Message('T', "t") + Row(row) + Complete("SELECT 1") + Ready('I');
}

// A client whose reads go out and come back by hand.
struct Reader {
  explicit Reader(RequestsContext& context) : requests(context) {}
  PostgresRequests requests;
  std::string got;
  int ended = 0;
};

// The backend, and for each read that is in flight its reader; nullptr: disowned.
class ReadsTest : public testing::TestWithParam<size_t>, public protocol::ExchangeSink {
 protected:
  ReadsTest() {
    CatalogueBuilder builder;
    catalogue_ = builder.Build("");
    catalogue_->number = 1;
    view_.now = catalogue_.get();
    backend_.UseCatalogue(&view_);
    for (int i = 0; i < 3; ++i) readers_.push_back(std::make_unique<Reader>(context_));
  }
  void ForwardToServer(uint32_t, uint32_t) override { FAIL(); }
  void InsertToServer(engine::Bytes bytes) override { server_ += engine::AsText(bytes); }
  void ForwardToClient(uint32_t offset, uint32_t length) override {
    Give(input_.substr(offset, length));
  }
  void InsertToClient(engine::Bytes bytes) override { Give(engine::AsText(bytes)); }
  void OnReadEnded(bool refused) override {
    Reader* reader = flight_.front();
    flight_.erase(flight_.begin());
    if (reader == nullptr) return;
    ++reader->ended;
    reader->requests.OnReadEnded(refused);
  }
  void Give(std::string_view bytes) {
    ASSERT_FALSE(flight_.empty());
    ASSERT_NE(flight_.front(), nullptr);
    flight_.front()->got += bytes;
  }

  Reader& reader(size_t i) { return *readers_[i]; }
  bool IsRead(Reader& reader, const std::string& request) {
    return reader.requests.FindRead(engine::AsBytes(request), view_).length == request.size();
  }
  // What goes to the server for it; empty: it is not taken here.
  std::string Send(Reader& reader, const std::string& request) {
    EXPECT_TRUE(IsRead(reader, request));
    if (reader.requests.StartRead(engine::AsBytes(request), backend_, *this))
      flight_.push_back(&reader);
    return std::exchange(server_, {});
  }
  ReplyStatus Server(const std::string& bytes) {
    ReplyStatus status = ReplyStatus::kOk;
    for (std::string_view left = bytes; !left.empty() && status == ReplyStatus::kOk;) {
      input_ = left.substr(0, GetParam());
      left.remove_prefix(input_.size());
      status = backend_.Take(engine::AsBytes(input_), *this);
    }
    return status;
  }
  void Disown(size_t place) {
    backend_.DisownRead(place);
    flight_[place] = nullptr;
  }
  std::string Got(Reader& reader) { return std::exchange(reader.got, {}); }
  // A statement of the client's under a name, made as ever.
  void Prepare(Reader& reader, const std::string& name, const std::string& sql) {
    PostgresReplies elsewhere;
    elsewhere.UseCatalogue(&view_);
    Wire wire;
    wire.input = Parse(name, sql) + Sync();
    elsewhere.Join(reader.requests);
    EXPECT_EQ(reader.requests.Take(engine::AsBytes(wire.input), &elsewhere, false, wire).consumed,
              wire.input.size());
    wire.input = Parsed() + Ready('I');
    EXPECT_EQ(elsewhere.Take(engine::AsBytes(wire.input), wire), ReplyStatus::kOk);
    elsewhere.Part();
    reader.requests.ClearMarks();
  }

  StatementTable table_;
  RequestsContext context_{table_};
  std::unique_ptr<Catalogue> catalogue_;
  protocol::CatalogueView view_;
  PostgresReplies backend_;
  std::vector<std::unique_ptr<Reader>> readers_;
  std::vector<Reader*> flight_;
  std::string input_;
  std::string server_;
};
INSTANTIATE_TEST_SUITE_P(Splits, ReadsTest, testing::ValuesIn(kSplits));

TEST_P(ReadsTest, WhatIsOne) {
  Prepare(reader(0), "s", "select 1");
  Prepare(reader(0), "w", "insert into t values (1)");
  for (const std::string& request :
       {Query("select a from t where b = 1"), Batch("", "select $1"), Batch("s"),
        Parse("", "select 1") + Describe("") + Bind("") + Execute() + ClosePortal() + Sync(),
        Bind("s") + Execute() + Sync()})
    EXPECT_TRUE(IsRead(reader(0), request)) << request;
  for (const std::string& request :
       {Query("select a from t for update"),
        Query("select 1; select 2"),
        Query(""),
        Query("select nextval('s')"),
        Query("insert into t values (1)"),
        Query("begin"),
        Query("select f()"),
        Query("set a = 1"),
        Query("select a into b from t"),
        Batch("w"),
        Batch("unknown"),
        Batch("", "update t set a = 1"),
        Batch("named", "select 1"),
        Bind("s") + ExecuteSome() + Sync(),
        Bind("s") + Execute(),
        Bind("s") + Sync(),
        Parse("", "select 1") + Sync(),
        Batch("s") + Batch("s"),
        Query("select 1") + Sync(),
        Query("select 1") + "Q",
        Bind("s") + Execute() + Execute() + Sync(),
        Bind("s") + Bind("s") + Execute() + Sync(),
        Bind("s") + Execute() + Close("s") + Sync(),
        Bind("s") + Message('H', "") + Execute() + Sync(),
        Bind(""),
        Bind("s") + Message('E', Z("another") + std::string(4, '\0')) + Sync(),
        Query("select " + std::string(protocol::Read::kBytesMax, '1')),
        std::string("Q"),
        std::string("Q\0\0\0\3", 5),
        Message('Q', "select 1"),
        Message('Q', std::string("select 1\0x\0", 11))})
    EXPECT_EQ(reader(0).requests.FindRead(engine::AsBytes(request), view_).length, 0u) << request;
}

TEST_P(ReadsTest, NothingIsReadOfAnUnknownDatabase) {
  view_.now = nullptr;
  EXPECT_FALSE(IsRead(reader(0), Query("select 1")));
}

// The same for texts of one shape.
TEST_P(ReadsTest, TheKindIsThatOfTheShape) {
  const auto kind = [&](const std::string& request) {
    return reader(0).requests.FindRead(engine::AsBytes(request), view_).kind;
  };
  EXPECT_EQ(kind(Query("select a from t where b = 1")),
            kind(Query("select a from t where b = 22")));
  EXPECT_NE(kind(Query("select a from t where b = 1")), kind(Query("select a from u where b = 1")));
}

TEST_P(ReadsTest, EachGetsItsOwn) {
  EXPECT_EQ(Send(reader(0), Query("select 'a'")), Query("select 'a'"));
  EXPECT_EQ(Send(reader(1), Query("select 'b'")), Query("select 'b'"));
  EXPECT_EQ(Send(reader(2), Batch("", "select 'c'")), Batch("", "select 'c'"));
  EXPECT_EQ(backend_.reads(), 3u);
  EXPECT_FALSE(backend_.settled());
  EXPECT_EQ(Server(AnswerOfQuery("a") + AnswerOfQuery("b") + Answer(Parsed(), "c")),
            ReplyStatus::kOk);
  EXPECT_EQ(Got(reader(0)), AnswerOfQuery("a"));
  EXPECT_EQ(Got(reader(1)), AnswerOfQuery("b"));
  EXPECT_EQ(Got(reader(2)), Answer(Parsed(), "c"));
  EXPECT_TRUE(backend_.quiet());
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(reader(i).ended, 1);
}

TEST_P(ReadsTest, AnErrorIsOfItsReaderOnly) {
  Send(reader(0), Batch("", "select 1 / 0"));
  Send(reader(1), Query("select 1 / 0"));
  Send(reader(2), Batch("", "select 'c'"));
  const std::string error = Error("ERROR", "22012", "division by zero");
  EXPECT_EQ(Server(Parsed() + error + Ready('I') + error + Ready('I') + Answer(Parsed(), "c")),
            ReplyStatus::kOk);
  EXPECT_EQ(Got(reader(0)), Parsed() + error + Ready('I'));
  EXPECT_EQ(Got(reader(1)), error + Ready('I'));
  EXPECT_EQ(Got(reader(2)), Answer(Parsed(), "c"));
}

// Notices belong to whoever is served, reports too; notifications to none of them.
TEST_P(ReadsTest, WhatComesUnasked) {
  Send(reader(0), Query("select 'a'"));
  Send(reader(1), Query("select 'b'"));
  const std::string notice = Message('N', "n" + Z(""));
  const std::string report = Message('S', Z("TimeZone") + Z("UTC"));
  const std::string notification = Message('A', "1234" + Z("c") + Z(""));
  EXPECT_EQ(Server(AnswerOfQuery("a") + notice + notification + report + AnswerOfQuery("b")),
            ReplyStatus::kOk);
  EXPECT_EQ(Got(reader(0)), AnswerOfQuery("a"));
  EXPECT_EQ(Got(reader(1)), notice + report + AnswerOfQuery("b"));
}

TEST_P(ReadsTest, ADisownedReplyIsSwallowed) {
  Send(reader(0), Query("select 'a'"));
  Send(reader(1), Query("select 'b'"));
  Send(reader(2), Query("select 'c'"));
  Disown(1);
  EXPECT_EQ(Server(Message('T', "t") + Message('D', "half")), ReplyStatus::kOk);
  Disown(0);
  EXPECT_EQ(Server(Complete("SELECT 1") + Ready('I') + AnswerOfQuery("b") + AnswerOfQuery("c")),
            ReplyStatus::kOk);
  EXPECT_EQ(Got(reader(0)), Message('T', "t") + Message('D', "half"));
  EXPECT_EQ(Got(reader(1)), "");
  EXPECT_EQ(Got(reader(2)), AnswerOfQuery("c"));
}

TEST_P(ReadsTest, AStatementGoesAheadWhereItIsMissing) {
  Prepare(reader(0), "mine", "select $1");
  Prepare(reader(1), "other", "select $1");
  Prepare(reader(2), "third", "select 3");
  const std::string name = ServerName(1);
  EXPECT_EQ(Send(reader(0), Batch("mine")), Parse(name, "select $1") + Batch(name));
  // Whether it will be there is not known.
  EXPECT_EQ(Send(reader(1), Batch("other")), "");
  EXPECT_EQ(Server(Answer(Parsed(), "a")), ReplyStatus::kOk);
  EXPECT_EQ(Got(reader(0)), Answer("a"));
  EXPECT_EQ(Send(reader(1), Batch("other")), Batch(name));
  EXPECT_EQ(Send(reader(0), Batch("mine")), Batch(name));
  EXPECT_EQ(Server(Answer("b") + Answer("c")), ReplyStatus::kOk);
  EXPECT_EQ(Got(reader(1)), Answer("b"));
  EXPECT_EQ(Got(reader(0)), Answer("c"));
}

// Its name on the server is not the client's; an error that tells it, tells that.
TEST_P(ReadsTest, AStatementThatIsRefused) {
  Prepare(reader(0), "mine", "select $1");
  const std::string name = ServerName(1);
  Send(reader(0), Batch("mine"));
  Send(reader(2), Query("select 'c'"));
  const std::string told = "no such table for \"";
  EXPECT_EQ(Server(Error("ERROR", "42P01", told + name + "\"") + Ready('I') + AnswerOfQuery("c")),
            ReplyStatus::kOk);
  EXPECT_EQ(Got(reader(0)), Error("ERROR", "42P01", told + "mine\"") + Ready('I'));
  EXPECT_EQ(Got(reader(2)), AnswerOfQuery("c"));
  // It is not there, and is sent again.
  EXPECT_EQ(Send(reader(0), Batch("mine")), Parse(name, "select $1") + Batch(name));
}

TEST_P(ReadsTest, TheOneThatGivesWayIsClosedAhead) {
  context_.options.prepared_max = 1;
  Prepare(reader(0), "a", "select 1");
  Prepare(reader(0), "b", "select 2");
  Send(reader(0), Batch("a"));
  EXPECT_EQ(Server(Answer(Parsed(), "a")), ReplyStatus::kOk);
  EXPECT_EQ(Send(reader(0), Batch("b")),
            Close(ServerName(1)) + Parse(ServerName(2), "select 2") + Batch(ServerName(2)));
  EXPECT_EQ(Server(Closed() + Answer(Parsed(), "b")), ReplyStatus::kOk);
  EXPECT_EQ(Got(reader(0)), Answer("a") + Answer("b"));
}

// A Parse that fails late would take the next one's statement with it.
TEST_P(ReadsTest, NothingGivesWayThatIsNotKnownToBeThere) {
  context_.options.prepared_max = 1;
  Prepare(reader(0), "a", "select 1");
  Prepare(reader(1), "b", "select 2");
  Send(reader(0), Batch("a"));
  EXPECT_EQ(Send(reader(1), Batch("b")), "");
  EXPECT_EQ(Server(Answer(Parsed(), "a")), ReplyStatus::kOk);
  EXPECT_EQ(Send(reader(1), Batch("b")),
            Close(ServerName(1)) + Parse(ServerName(2), "select 2") + Batch(ServerName(2)));
}

// The unnamed statement of each is what it has parsed itself, whoever has been here since.
TEST_P(ReadsTest, TheUnnamedStatementIsItsOwn) {
  Send(reader(0), Batch("", "select 'a'"));
  Send(reader(1), Batch("", "select 'b'"));
  EXPECT_EQ(Server(Answer(Parsed(), "a") + Answer(Parsed(), "b")), ReplyStatus::kOk);
  EXPECT_EQ(Send(reader(1), Batch("")), Batch(""));
  EXPECT_EQ(Send(reader(0), Batch("")), Parse("", "select 'a'") + Batch(""));
  EXPECT_EQ(Send(reader(1), Batch("")), Parse("", "select 'b'") + Batch(""));
  EXPECT_EQ(Server(Answer("b") + Answer(Parsed(), "a") + Answer(Parsed(), "b")), ReplyStatus::kOk);
  EXPECT_EQ(Got(reader(0)), Answer(Parsed(), "a") + Answer("a"));
  EXPECT_EQ(Got(reader(1)), Answer(Parsed(), "b") + Answer("b") + Answer("b"));
  // A Query destroys it, a Parse that is refused, too.
  Send(reader(0), Query("select 1"));
  EXPECT_FALSE(IsRead(reader(1), Bind("")));
  EXPECT_EQ(Server(AnswerOfQuery("1")), ReplyStatus::kOk);
  EXPECT_FALSE(IsRead(reader(0), Batch("")));
  Send(reader(1), Batch("", "select x"));
  EXPECT_EQ(Server(Error("ERROR", "42703", "no column x") + Ready('I')), ReplyStatus::kOk);
  EXPECT_FALSE(IsRead(reader(1), Batch("")));
}

TEST_P(ReadsTest, AnotherProfileIsNotJoined) {
  ProfileRef other = context_.profiles.Intern({{"search_path", "other"}});
  backend_.set_profile(other);
  EXPECT_EQ(Send(reader(0), Query("select 1")), "");
  backend_.set_profile({});
  EXPECT_NE(Send(reader(0), Query("select 1")), "");
}

// A backend that reads texts in another way than they were judged.
TEST_P(ReadsTest, AnotherLexingIsNotJoined) {
  backend_.set_parameter("standard_conforming_strings", "off");
  EXPECT_EQ(Send(reader(0), Query("select 1")), "");
}

TEST_P(ReadsTest, WhoHasSomethingUnderWayDoesNotRead) {
  Pair pair(context_);
  PostgresReplies own;
  own.UseCatalogue(&view_);
  pair.Join(own);
  pair.Client(Query("listen c"));
  pair.Server(Complete("LISTEN") + Ready('I'));
  EXPECT_EQ(pair.requests.FindRead(engine::AsBytes(Query("select 1")), view_).length, 0u);
}

TEST_P(ReadsTest, ATransactionThatIsNotOverIsMalformed) {
  Send(reader(0), Query("select 1"));
  EXPECT_EQ(Server(Message('T', "t") + Row("a") + Complete("SELECT 1") + Ready('T')),
            ReplyStatus::kMalformed);
}

TEST_P(ReadsTest, RepliesThatNobodyMayGet) {
  for (const std::string& reply : {Message('G', std::string(3, '\0')), Message('s', ""),
                                   Message('V', "abcd"), Message('1', ""), Message('d', "x")}) {
    PostgresReplies fresh;
    fresh.UseCatalogue(&view_);
    ASSERT_TRUE(IsRead(reader(0), Query("select 1")));
    ASSERT_TRUE(reader(0).requests.StartRead(engine::AsBytes(Query("select 1")), fresh, *this));
    flight_.push_back(&reader(0));
    EXPECT_EQ(fresh.Take(engine::AsBytes(reply), *this), ReplyStatus::kMalformed) << reply;
    flight_.clear();
  }
}

TEST_P(ReadsTest, AFatalErrorIsKept) {
  Send(reader(0), Query("select 1"));
  Send(reader(1), Query("select 2"));
  const std::string fatal = Error("FATAL", "57P01", "terminating");
  EXPECT_EQ(Server(AnswerOfQuery("1") + fatal), ReplyStatus::kFatal);
  EXPECT_EQ(backend_.fatal_error(), fatal);
  EXPECT_EQ(Got(reader(0)), AnswerOfQuery("1"));
  EXPECT_EQ(Got(reader(1)), "");
  EXPECT_EQ(Send(reader(0), Query("select 1")), "");
}

// What comes at once with the end of the session is not given to the reader.
TEST_P(ReadsTest, WhatIsFlushedAtTheEndIsNoReply) {
  Send(reader(0), Query("select 1"));
  Send(reader(1), Query("select 2"));
  const std::string fatal = Error("FATAL", "57P01", "terminating");
  input_ = AnswerOfQuery("1") + Message('T', "t") + fatal;
  EXPECT_EQ(backend_.Take(engine::AsBytes(input_), *this), ReplyStatus::kFatal);
  EXPECT_EQ(Got(reader(0)), AnswerOfQuery("1"));
  EXPECT_EQ(Got(reader(1)), "");
}

TEST_P(ReadsTest, ARefusedReadIsAnsweredWhole) {
  ASSERT_TRUE(IsRead(reader(0), Batch("", "select 1")));
  const std::string error = Error("ERROR", "57014", "cancelled");
  flight_.push_back(&reader(0));
  reader(0).requests.RefuseRead(engine::AsBytes(error), *this);
  EXPECT_EQ(Got(reader(0)), error + Ready('I'));
}

}  // namespace
}  // namespace weir::postgres
