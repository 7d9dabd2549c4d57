// Answers a client's token on its own shard: at once, or when the verifier has answered, which a
// worker asks.
//
//   Check -> an answer | known | Ask -> worker -> OnVerified -> answers to all who wait for it
//
// What the verifier says is kept until it expires, at most an hour, or the next reload.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/base/slab.h"
#include "engine/worker.h"
#include "pool/session/iam.h"
#include "pool/session/iam_verifier.h"
#include "pool/session/token_checker.h"

namespace weir::pool {

class IamChecker final : public TokenChecker {
 public:
  // Both outlive it; nullptr: nobody is asked, and temporary keys of no file are unknown.
  void UseVerifier(engine::Worker* worker, IamVerifier* verifier) {
    worker_ = worker;
    verifier_ = verifier;
  }
  // Replaced at reload, and good until then; nullptr: no token is good.
  void Use(const Iam* iam);
  void Check(SessionServices& services, engine::Handle<ClientSession> client,
             const Question& question) override;

  // From the worker: the answer to the question of that name, asked under that configuration.
  void OnVerified(SessionServices& services, const protocol::Digest256& name, uint64_t epoch,
                  const absl::StatusOr<protocol::VerifiedKey>& key);

 private:
  static constexpr size_t kKnownMax = 1024;
  static constexpr size_t kAskedMax = 64;     // questions under way
  static constexpr size_t kWaitingMax = 256;  // clients of one question
  struct Waiting {
    Waiting(engine::Handle<ClientSession> handle, const Question& question)
        : client(handle), user(question.user), token(question.token), endpoint(question.endpoint) {}
    Waiting(Waiting&&) = default;
    Waiting& operator=(Waiting&&) = default;
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    ~Waiting() { protocol::Wipe(token); }
    engine::Handle<ClientSession> client;
    std::string user;
    std::string token;
    uint32_t endpoint;
  };
  void Ask(SessionServices& services, engine::Handle<ClientSession> client,
           const Question& question, const protocol::Digest256& name, const IamQuestion& asked);
  void Keep(const protocol::Digest256& name, const protocol::VerifiedKey& key);
  static void Tell(SessionServices& services, engine::Handle<ClientSession> client, bool good,
                   std::string_view why);

  const Iam* iam_ = nullptr;
  engine::Worker* worker_ = nullptr;
  IamVerifier* verifier_ = nullptr;
  uint64_t epoch_ = 0;  // of the configuration
  std::map<protocol::Digest256, protocol::VerifiedKey> known_;
  std::map<protocol::Digest256, std::vector<Waiting>> asked_;
};

}  // namespace weir::pool
