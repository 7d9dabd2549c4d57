#include "pool/aws/agent.h"

#include <algorithm>
#include <utility>

#include "engine/base/log.h"
#include "engine/base/text.h"
#include "pool/config/check_aws.h"
#include "protocol/auth/crypto.h"
#include "protocol/auth/secret.h"

namespace weir::pool {

using engine::Cat;
using engine::Log;
using engine::LogLevel;
using engine::Nanos;

// One secret that is due.
struct AwsAgent::Question {
  AwsOptions options;
  protocol::AccessKey key;
  std::string arn;
  std::string current;
  bool refused = false;
  bool pending = false;
};

AwsAgent::~AwsAgent() {
  for (auto& [arn, secret] : secrets_) protocol::Wipe(secret.text);
}

void AwsAgent::Configure(const Config& config) {
  std::lock_guard lock(mutex_);
  options_ = config.aws;
  region_ = RegionOfServers(config);
  needed_ = NeedsAws(config);
  ++configured_;
  // Other options may mean another key, and what could not be had may be there.
  key_errand_.due = 0;
  std::map<std::string, Secret> wanted;
  for (const AuthOptions& auth : config.auths) {
    if (auth.secret_arn.empty()) continue;
    const auto known = secrets_.find(auth.secret_arn);
    Secret& secret = wanted[auth.secret_arn];
    if (known != secrets_.end()) secret = std::move(known->second);
    secret.errand.due = 0;
  }
  for (auto& [arn, secret] : secrets_) protocol::Wipe(secret.text);
  secrets_ = std::move(wanted);
}

bool AwsAgent::HasKey() const {
  return !key_.key.id.empty() && (key_.expires_at == 0 || wall_clock_.Now() < key_.expires_at);
}

bool AwsAgent::Step(Nanos now) {
  Question question;
  {
    std::lock_guard lock(mutex_);
    if (!needed_) return false;
    if (now >= key_errand_.due) {
      question.options = options_;
    } else {
      if (!HasKey()) return false;
      const auto next = std::min_element(
          secrets_.begin(), secrets_.end(),
          [](const auto& a, const auto& b) { return a.second.errand.due < b.second.errand.due; });
      if (next == secrets_.end() || now < next->second.errand.due) return false;
      question = {options_,
                  key_.key,
                  next->first,
                  next->second.current,
                  next->second.refused,
                  next->second.pending};
    }
  }
  if (question.arn.empty()) {
    RenewKey(now);
  } else {
    AskSecret(question, now);
  }
  return true;
}

bool AwsAgent::asked() const {
  std::lock_guard lock(mutex_);
  if (!needed_) return true;
  if (key_errand_.asked_at == 0) return false;
  if (!HasKey()) return true;
  return std::all_of(secrets_.begin(), secrets_.end(), [](const auto& each) {
    return each.second.errand.asked_at != 0 || each.second.errand.failures > 0;
  });
}

uint64_t AwsAgent::keys_found() const {
  std::lock_guard lock(mutex_);
  return keys_found_;
}

// Tells it once, and plans the next try.
void AwsAgent::Failed(Errand& errand, Nanos now, std::string_view event, const std::string& problem,
                      std::string_view stays) {
  if (problem != errand.problem) Log(LogLevel::kWarn, Cat("event=", event, ": ", problem, stays));
  errand.problem = problem;
  errand.due = now + std::min(kRetryMax, engine::kSecond << std::min(errand.failures, 6u));
  ++errand.failures;
}

void AwsAgent::RenewKey(Nanos now) {
  AwsOptions options;
  uint64_t configured = 0;
  {
    std::lock_guard lock(mutex_);
    options = options_;
    configured = configured_;
    key_errand_.asked_at = now;
    key_errand_.due = now + kLeast;
  }
  absl::StatusOr<AwsKey> found = FindAwsKey(options, http_);
  std::lock_guard lock(mutex_);
  if (configured != configured_) return;  // it is due again, elsewhere
  if (found.ok() && found->expires_at != 0 && found->expires_at <= wall_clock_.Now())
    found = absl::UnavailableError(Cat(found->source, ": its key has expired"));
  if (!found.ok()) {
    Failed(key_errand_, now, "aws_key_unavailable", std::string(found.status().message()),
           HasKey() ? "; the key before stays in force until it ends" : "");
    return;
  }
  if (!HasKey()) ++keys_found_;
  const bool same = found->key.id == key_.key.id;
  if (!same) {
    Log(LogLevel::kInfo,
        Cat("event=aws_key: ", engine::Visible(found->key.id), " of ",
            engine::Visible(found->source), found->expires_at == 0 ? "" : ", until ",
            found->expires_at == 0
                ? std::string()
                : protocol::FormatBasicTime(found->expires_at / engine::kSecond)));
  }
  key_ = *std::move(found);
  key_errand_.failures = 0;
  key_errand_.problem.clear();
  const Nanos left =
      key_.expires_at == 0 ? kLookAgain : key_.expires_at - wall_clock_.Now() - kRenewBefore;
  key_errand_.due = now + std::max(same ? kSameAgain : kLeast, left);
}

void AwsAgent::AskSecret(const Question& question, Nanos now) {
  const Nanos wall = wall_clock_.Now();
  SecretFetch current =
      FetchSecret(question.options, http_, question.key, question.arn, kCurrentStage, wall);
  SecretFetch pending;
  pending.status = absl::NotFoundError("");
  const bool same = current.status.ok() && current.value.version == question.current;
  if (same && question.refused && !question.pending) {
    pending = FetchSecret(question.options, http_, question.key, question.arn, kPendingStage, wall);
  }
  std::lock_guard lock(mutex_);
  OnSecret(question, current, pending, now);
}

void AwsAgent::OnSecret(const Question& question, SecretFetch& current, SecretFetch& pending,
                        Nanos now) {
  const auto found = secrets_.find(question.arn);
  if (found == secrets_.end()) return;
  Secret& secret = found->second;
  secret.errand.asked_at = now;
  if (current.status.ok()) {
    absl::StatusOr<protocol::Secret> parsed = protocol::ParseSecret(current.value.text);
    if (parsed.ok()) {
      protocol::Wipe(parsed->password);
    } else {
      current.status = absl::InvalidArgumentError(
          Cat("its text: ", std::string_view(std::string(parsed.status().message()))));
    }
  }
  if (!current.status.ok()) {
    Failed(secret.errand, now, "secret_unavailable",
           Cat(question.arn, ": ", std::string_view(std::string(current.status.message()))),
           secret.text.empty() ? "; its user cannot log in" : "; the value before stays in force");
    if (current.key_refused && now - key_errand_.asked_at > kLeast) key_errand_.due = now;
    // Nor would the others be answered now.
    for (auto& [arn, other] : secrets_) {
      if (!current.unreachable || other.errand.due > secret.errand.due) continue;
      other.errand.due = secret.errand.due;
      if (other.errand.asked_at == 0) other.errand.failures = std::max(1u, other.errand.failures);
    }
    return;
  }
  secret.errand.failures = 0;
  secret.errand.problem.clear();
  secret.errand.due = now + options_.secret_refresh_period;
  const bool refused = std::exchange(secret.refused, false);
  if (current.value.version != secret.current) {
    secret.current = current.value.version;
    secret.pending = false;
    Accept(question.arn, secret, current.value.text, "AWSCURRENT");
  } else if (refused && secret.pending) {
    secret.pending = false;
    Accept(question.arn, secret, current.value.text, "AWSCURRENT again");
  } else if (pending.status.ok() && pending.value.version != secret.current) {
    absl::StatusOr<protocol::Secret> parsed = protocol::ParseSecret(pending.value.text);
    if (!parsed.ok()) return;
    protocol::Wipe(parsed->password);
    secret.pending = true;
    Accept(question.arn, secret, pending.value.text, "AWSPENDING: a rotation is under way");
  }
}

void AwsAgent::Accept(const std::string& arn, Secret& secret, std::string& text,
                      std::string_view why) {
  if (secret.text == text) return;
  Log(LogLevel::kInfo, Cat("event=secret_fetched: ", arn, ", ", why));
  protocol::Wipe(secret.text);
  secret.text = text;
  secret.version = ++versions_;
}

absl::StatusOr<std::string> AwsAgent::Text(const std::string& arn) const {
  std::lock_guard lock(mutex_);
  const auto found = secrets_.find(arn);
  if (found != secrets_.end() && !found->second.text.empty()) return found->second.text;
  return absl::UnavailableError(Cat(arn, ": it has not been fetched yet"));
}

int64_t AwsAgent::Version(const std::string& arn) const {
  std::lock_guard lock(mutex_);
  const auto found = secrets_.find(arn);
  return found == secrets_.end() ? 0 : found->second.version;
}

void AwsAgent::AskAgain() {
  std::lock_guard lock(mutex_);
  for (auto& [arn, secret] : secrets_) {
    secret.refused = true;
    // Not more often than that, and what is failing in its own time.
    if (secret.errand.failures == 0)
      secret.errand.due = std::min(secret.errand.due, secret.errand.asked_at + kLeast);
  }
}

void AwsAgent::OnRefused() {
  std::lock_guard lock(mutex_);
  if (key_errand_.failures == 0)
    key_errand_.due = std::min(key_errand_.due, key_errand_.asked_at + kSameAgain);
}

std::string AwsAgent::Make(std::string_view host, uint16_t port, std::string_view user,
                           std::string& why) {
  std::lock_guard lock(mutex_);
  if (!HasKey()) {
    why = Cat("there is no key of AWS to make a token with (server_auth = \"iam\"): ",
              key_.key.id.empty() ? "" : "the one before has ended; ",
              key_errand_.problem.empty() ? "it has not been asked for yet" : key_errand_.problem);
    return {};
  }
  return protocol::MakeIamToken(key_.key, protocol::IamHostName(host, port), user, region_,
                                wall_clock_.Now());
}

}  // namespace weir::pool
