#include "pool/session/iam_checker.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/text.h"
#include "pool/session/client_session.h"
#include "pool/session/services.h"

namespace weir::pool {

using engine::Cat;
using protocol::Digest256;
using protocol::IamFault;
using protocol::VerifiedKey;

namespace {

constexpr int64_t kKeptSecondsMax = 3600;

// What a question is known by: nothing of it can be read from that.
Digest256 NameOf(const IamQuestion& question) {
  std::string text = Cat(question.access_key_id, '\0', question.date, '\0', question.region, '\0',
                         question.session_token);
  const Digest256 name = protocol::Sha256(text);
  protocol::Wipe(text);
  return name;
}

class VerifyJob final : public engine::Job {
 public:
  VerifyJob(SessionServices& services, IamChecker& owner, IamVerifier& verifier,
            IamVerifierPlace place, const IamQuestion& question, const Digest256& name,
            uint64_t epoch)
      : services_(services),
        owner_(owner),
        verifier_(verifier),
        place_(std::move(place)),
        question_(question),
        name_(name),
        epoch_(epoch) {}
  void Run() override { key_ = verifier_.Ask(place_, question_); }
  void Done() override { owner_.OnVerified(services_, name_, epoch_, key_); }

 private:
  SessionServices& services_;
  IamChecker& owner_;
  IamVerifier& verifier_;
  const IamVerifierPlace place_;
  const IamQuestion question_;
  const Digest256 name_;
  const uint64_t epoch_;
  absl::StatusOr<VerifiedKey> key_ = absl::UnavailableError("it was not asked");
};

}  // namespace

void IamChecker::Use(const Iam* iam) {
  if (iam == iam_) return;
  iam_ = iam;
  known_.clear();
  ++epoch_;
}

void IamChecker::Tell(SessionServices& services, engine::Handle<ClientSession> client, bool good,
                      std::string_view why) {
  ClientSession* session = services.clients.Find(client);
  if (session != nullptr) session->OnTokenChecked(good, why);
}

void IamChecker::Check(SessionServices& services, engine::Handle<ClientSession> client,
                       const Question& question) {
  CHECK(services.clients.Find(client) != nullptr);
  if (iam_ == nullptr) {
    Tell(services, client, false, "there is no [iam]");
    return;
  }
  Iam::Answer answer = iam_->Check(question.token, question.user, question.endpoint);
  if (answer.question.has_value()) {
    const Digest256 name = NameOf(*answer.question);
    const auto found = known_.find(name);
    if (found == known_.end() || found->second.expires_at <= iam_->Seconds()) {
      Ask(services, client, question, name, *answer.question);
      return;
    }
    answer = iam_->Check(question.token, question.user, question.endpoint, &found->second);
  }
  Tell(services, client, answer.fault == IamFault::kNone, answer.why);
}

void IamChecker::Ask(SessionServices& services, engine::Handle<ClientSession> client,
                     const Question& question, const Digest256& name, const IamQuestion& asked) {
  const bool under_way = asked_.contains(name);
  if (worker_ == nullptr || (!under_way && asked_.size() >= kAskedMax) ||
      (under_way && asked_[name].size() >= kWaitingMax)) {
    Tell(services, client, false,
         worker_ == nullptr ? "there is no verifier here"
                            : "the verifier is slow: too many wait for its answer");
    return;
  }
  asked_[name].emplace_back(client, question);
  if (under_way) return;
  worker_->Submit(services.shard.id(),
                  std::make_unique<VerifyJob>(services, *this, *verifier_, iam_->verifier(), asked,
                                              name, epoch_));
}

void IamChecker::OnVerified(SessionServices& services, const Digest256& name, uint64_t epoch,
                            const absl::StatusOr<VerifiedKey>& key) {
  const auto found = asked_.find(name);
  CHECK(found != asked_.end());
  const std::vector<Waiting> waiting = std::move(found->second);
  asked_.erase(found);
  const bool same = epoch == epoch_ && iam_ != nullptr;
  if (same && key.ok()) Keep(name, *key);
  for (const Waiting& each : waiting) {
    Iam::Answer answer{IamFault::kVerifier, {}, {}};
    if (!same) {
      answer.why = "the configuration has changed while the verifier was asked";
    } else if (!key.ok()) {
      answer.why = Cat("its token was refused: ", protocol::IamFaultText(IamFault::kVerifier), ": ",
                       engine::Visible(std::string(key.status().message())));
    } else {
      answer = iam_->Check(each.token, each.user, each.endpoint, &*key);
    }
    Tell(services, each.client, answer.fault == IamFault::kNone, answer.why);
  }
}

void IamChecker::Keep(const Digest256& name, const VerifiedKey& key) {
  const int64_t now = iam_->Seconds();
  if (known_.size() >= kKnownMax) {
    std::erase_if(known_, [now](const auto& each) { return each.second.expires_at <= now; });
    if (known_.size() >= kKnownMax) known_.erase(known_.begin());
  }
  VerifiedKey& kept = known_[name] = key;
  kept.expires_at = std::min(kept.expires_at, now + kKeptSecondsMax);
}

}  // namespace weir::pool
