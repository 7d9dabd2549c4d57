// Whoever asks AWS for weir: keeps weir's own key and the secrets of secret_arn, and renews them.
//
//   key:     found -> renewed 5 min before it ends (or looked at every minute) -> ...
//   secret:  AWSCURRENT every secret_refresh_period; when the server refuses a value, at once, and
//            then AWSPENDING, which a rotation may have given to the server already
//
// What fails is tried again after 1, 2, 4 ... 60 s; what was there before stays (a key until it
// ends), and the log says once why. A round blocks: it is its own thread's (AgentThread), before
// there is one the main thread's. What it knows may be read by any thread.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "engine/base/wall_clock.h"
#include "pool/aws/credentials.h"
#include "pool/aws/http.h"
#include "pool/aws/secrets_manager.h"
#include "pool/config/secret_source.h"
#include "pool/session/server_tokens.h"

namespace weir::pool {

class AwsAgent final : public RemoteSecrets, public ServerTokens {
 public:
  static constexpr engine::Nanos kRenewBefore = 300 * engine::kSecond;
  static constexpr engine::Nanos kLookAgain = 60 * engine::kSecond;
  static constexpr engine::Nanos kRetryMax = 60 * engine::kSecond;
  static constexpr engine::Nanos kSameAgain = 15 * engine::kSecond;  // after the same key
  static constexpr engine::Nanos kLeast = 2 * engine::kSecond;  // between two questions of a kind

  // Both outlive it.
  AwsAgent(Http& http, const engine::WallClock& wall_clock)
      : http_(http), wall_clock_(wall_clock) {}
  ~AwsAgent() override;

  // What is needed from now on. Secrets that are known and still wanted stay.
  void Configure(const Config& config);
  // Asks for one thing that is due; false: nothing is. `now`: monotonic.
  bool Step(engine::Nanos now);
  // Everything that is needed has been asked for.
  bool asked() const;
  // Grows when there is a key where there was none: whoever had none may try again.
  uint64_t keys_found() const;

  // RemoteSecrets
  absl::StatusOr<std::string> Text(const std::string& arn) const override;
  int64_t Version(const std::string& arn) const override;
  void AskAgain() override;

  // ServerTokens
  std::string Make(std::string_view host, uint16_t port, std::string_view user,
                   std::string& why) override;
  void OnRefused() override;

 private:
  // Something that is asked for again and again.
  struct Errand {
    engine::Nanos due = 0;
    engine::Nanos asked_at = 0;  // 0: never
    uint32_t failures = 0;       // since the last success
    std::string problem;         // why it failed last; empty: it did not
  };
  struct Secret {
    Errand errand;
    std::string text;  // empty: none yet
    int64_t version = 0;
    std::string current;   // VersionId of AWSCURRENT
    bool pending = false;  // the text is that of AWSPENDING
    bool refused = false;  // the server takes another value
  };
  struct Question;

  bool HasKey() const;
  void RenewKey(engine::Nanos now);
  void AskSecret(const Question& question, engine::Nanos now);
  void OnSecret(const Question& question, SecretFetch& current, SecretFetch& pending,
                engine::Nanos now);
  void Accept(const std::string& arn, Secret& secret, std::string& text, std::string_view why);
  void Failed(Errand& errand, engine::Nanos now, std::string_view event, const std::string& problem,
              std::string_view stays);

  Http& http_;
  const engine::WallClock& wall_clock_;
  mutable std::mutex mutex_;  // of all that follows
  AwsOptions options_;
  std::string region_;  // of the servers
  bool needed_ = false;
  uint64_t configured_ = 0;  // how often
  AwsKey key_;
  Errand key_errand_;
  uint64_t keys_found_ = 0;
  std::map<std::string, Secret> secrets_;  // by ARN
  int64_t versions_ = 0;
};

}  // namespace weir::pool
