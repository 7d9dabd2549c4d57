// Both logins against each other, with somebody between them who drops, repeats, changes and
// invents messages. Whatever he does: without the right password nobody gets in, and a client stays
// who it has said it is; left alone, the right password gets in. Where he ends one encrypted
// connection and begins another, channel binding keeps everybody out.
//
// Input: options, how the bytes are cut, then for each message what happens to it.
#include <cstdint>
#include <deque>
#include <string>
#include <utility>

#include "protocol/auth/md5.h"
#include "protocol/postgres/client_login.h"
#include "protocol/postgres/server_login.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {
namespace {

using ClientNext = protocol::ClientLogin::Next;
using ServerNext = protocol::ServerLogin::Next;

constexpr uint8_t kWrongPassword = 1;
constexpr uint8_t kUnknownUser = 2;
constexpr uint8_t kEncrypted = 4;
constexpr uint8_t kTwoConnections = 8;  // encrypted each, to him
constexpr uint8_t kMd5 = 16;

struct Passwords {
  protocol::ScramVerifier verifier;
  protocol::ScramKeys right;
  protocol::ScramKeys wrong;
};

const Passwords& ThePasswords() {
  static const Passwords passwords = [] {
    Passwords made;
    made.verifier.salt = "0123456789abcdef";
    const uint32_t iterations = made.verifier.iterations;
    made.right = protocol::DeriveScramKeys("right", made.verifier.salt, iterations);
    made.wrong = protocol::DeriveScramKeys("wrong", made.verifier.salt, iterations);
    made.verifier.stored_key = made.right.stored_key;
    made.verifier.server_key = made.right.server_key;
    return made;
  }();
  return passwords;
}

bool IsBroken(uint8_t options) {
  const uint8_t middle = kEncrypted | kTwoConnections;
  return (options & (kWrongPassword | kUnknownUser)) != 0 ||
         ((options & kMd5) == 0 && (options & middle) == middle);
}

protocol::TransportFacts TransportOf(uint8_t options, bool inner) {
  protocol::TransportFacts facts;
  facts.encrypted = (options & kEncrypted) != 0;
  if (facts.encrypted)
    facts.endpoint_binding = inner && (options & kTwoConnections) != 0 ? "his" : "ours";
  return facts;
}

protocol::ServerLogin::Options InnerOptions(uint8_t options) {
  protocol::ServerLogin::Options made;
  made.user = "app";
  made.database = "db";
  made.password = (options & kWrongPassword) != 0 ? "wrong" : "right";
  made.allow_md5 = (options & kMd5) != 0;
  made.transport = TransportOf(options, /*inner=*/true);
  return made;
}

std::string OtherStartup() {
  const std::string body = Put32(3 << 16) + Z("user") + Z("other") + '\0';
  return Put32(static_cast<uint32_t>(body.size()) + 4) + body;
}

class Pair {
 public:
  Pair(uint8_t options, Pieces& pieces, Choices& choices)
      : pieces_(pieces),
        choices_(choices),
        keys_((options & kWrongPassword) != 0 ? ThePasswords().wrong : ThePasswords().right),
        options_(options),
        may_enter_(!IsBroken(options)),
        outer_(entropy_),
        inner_(InnerOptions(options), entropy_) {}

  void Run() {
    std::string out;
    inner_.Start(out);
    ToOuter(out);
    // Every message of a login goes to and fro; more than these are never needed.
    for (int turn = 0; turn < 32 && (!to_outer_.empty() || !to_inner_.empty()); ++turn) {
      while (!to_outer_.empty() && outer_next_ == ClientNext::kReceive) FeedOuter(Take(to_outer_));
      while (!to_inner_.empty() && inner_next_ == ServerNext::kReceive) FeedInner(Take(to_inner_));
      if (outer_next_ != ClientNext::kReceive) to_outer_.clear();
      if (inner_next_ != ServerNext::kReceive) to_inner_.clear();
    }
    if (outer_next_ == ClientNext::kDone) {
      CHECK(may_enter_);
      CHECK(outer_.identity().user == named_);
    }
    if (untouched_) CHECK((outer_next_ == ClientNext::kDone) == may_enter_);
  }

 private:
  void ToOuter(const std::string& bytes) {
    if (!bytes.empty()) Meddle(to_outer_, bytes);
  }
  void ToInner(const std::string& bytes) {
    MessageReader reader;
    reader.Add(bytes);
    for (Message each; reader.Next(each);) Meddle(to_inner_, Encode(each.type, each.body));
  }

  void Meddle(std::deque<std::string>& queue, std::string message) {
    const size_t what = choices_.Below(10);
    if (what != 0) untouched_ = false;
    switch (what) {
      case 1:
        return;
      case 2:
        queue.push_back(message);
        break;
      case 3: {
        const size_t at = choices_.Byte() % message.size();
        message[at] = static_cast<char>(message[at] ^ choices_.Byte());
        break;
      }
      case 4:
        message.resize(choices_.Byte() % message.size());
        break;
      case 5:
        queue.push_back(OtherStartup());
        break;
      case 6:
        queue.emplace_back(choices_.Text(choices_.Byte()));
        break;
      case 7:
        if (!seen_.empty()) queue.push_back(seen_[choices_.Byte() % seen_.size()]);
        break;
      case 8: {
        const size_t at = choices_.Byte() % message.size();
        message.insert(at, choices_.Text(choices_.Byte() % 16));
        break;
      }
      case 9:
        queue.push_back(Encode('R', Put32(0)) + Encode('Z', "I"));
        break;
      default:
        break;
    }
    seen_.push_back(message);
    queue.push_back(std::move(message));
  }

  static std::string Take(std::deque<std::string>& queue) {
    std::string message = std::move(queue.front());
    queue.pop_front();
    return message;
  }

  void FeedOuter(std::string_view bytes) {
    while (!bytes.empty() && outer_next_ == ClientNext::kReceive) {
      const std::string_view part = bytes.substr(0, pieces_.Next(bytes.size()));
      size_t consumed = 0;
      std::string out;
      outer_next_ = outer_.OnBytes(engine::AsBytes(part), consumed, out);
      CHECK(consumed > 0);
      bytes.remove_prefix(consumed);
      if (outer_next_ == ClientNext::kNeedUser) {
        named_ = outer_.identity().user;
        outer_next_ = Resume(out);
      }
      ToInner(out);
    }
  }

  ClientNext Resume(std::string& out) {
    static const std::string hash[] = {protocol::Md5Hash("app", "right")};
    const bool md5 = (options_ & kMd5) != 0;
    return outer_.Resume(
        {.method = md5 ? protocol::ClientMethod::kMd5 : protocol::ClientMethod::kScram,
         .known = (options_ & kUnknownUser) == 0,
         .verifier = &ThePasswords().verifier,
         .md5_hashes = hash},
        TransportOf(options_, /*inner=*/false), out);
  }

  void FeedInner(std::string_view bytes) {
    while (!bytes.empty() && inner_next_ == ServerNext::kReceive) {
      const std::string_view part = bytes.substr(0, pieces_.Next(bytes.size()));
      bytes.remove_prefix(part.size());
      std::string out;
      inner_next_ = inner_.OnBytes(engine::AsBytes(part), out);
      while (inner_next_ == ServerNext::kNeedKeys) inner_next_ = inner_.OnKeys(keys_, out);
      // The proof of the server is asked for before anything else is sent to it; md5 has none.
      for (const Message& message : AllMessages(out))
        CHECK(message.type == 'p' || may_enter_ || (options_ & kMd5) != 0);
      ToOuter(out);
    }
  }

  Pieces& pieces_;
  Choices& choices_;
  const protocol::ScramKeys& keys_;
  const uint8_t options_;
  const bool may_enter_;
  ZeroEntropy entropy_;
  postgres::PostgresClientLogin outer_;  // weir towards a client
  postgres::PostgresServerLogin inner_;  // weir towards a server
  ClientNext outer_next_ = ClientNext::kReceive;
  ServerNext inner_next_ = ServerNext::kReceive;
  std::deque<std::string> to_outer_;
  std::deque<std::string> to_inner_;
  std::deque<std::string> seen_;
  std::string named_;
  bool untouched_ = true;
};

FUZZ_TARGET(login_pair) {
  Choices choices(input);
  const uint8_t options = choices.Byte() & 31;
  Pieces pieces(choices.Byte());
  Pair(options, pieces, choices).Run();
}

}  // namespace
}  // namespace weir::fuzz
