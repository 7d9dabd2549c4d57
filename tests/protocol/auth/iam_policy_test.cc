// Policies: what they allow, and that nothing in one is passed over.
#include "protocol/auth/iam_policy.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/base/text.h"

namespace weir::protocol {
namespace {

using engine::Cat;

const std::string kArn = "arn:aws:rds-db:us-east-1:111122223333:dbuser:prx-0abc123def456/app";

std::string Statement(std::string_view effect, std::string_view action, std::string_view resource) {
  return Cat(R"({"Effect":")", effect, R"(","Action":)", action, R"(,"Resource":)", resource, "}");
}
std::string Document(std::string_view statements) {
  return Cat(R"({"Version":"2012-10-17","Statement":)", statements, "}");
}
IamPolicy::Verdict Judge(std::string_view text, std::string_view arn = kArn) {
  const absl::StatusOr<IamPolicy> policy = IamPolicy::Parse(text);
  EXPECT_TRUE(policy.ok()) << policy.status() << text;
  return policy.ok() ? policy->Judge(kIamConnectAction, arn) : IamPolicy::Verdict::kSilent;
}
std::string ErrorOf(std::string_view text) {
  const absl::StatusOr<IamPolicy> policy = IamPolicy::Parse(text);
  return policy.ok() ? "none" : std::string(policy.status().message());
}

constexpr IamPolicy::Verdict kAllows = IamPolicy::Verdict::kAllows;
constexpr IamPolicy::Verdict kDenies = IamPolicy::Verdict::kDenies;
constexpr IamPolicy::Verdict kSilent = IamPolicy::Verdict::kSilent;

TEST(IamPolicyTest, ArnOfADatabaseUser) {
  EXPECT_EQ(DatabaseUserArn("us-east-1", "111122223333", "prx-0abc123def456", "app"), kArn);
}

TEST(IamPolicyTest, OneStatementOrMany) {
  const std::string allow = Statement("Allow", R"("rds-db:connect")", Cat('"', kArn, '"'));
  EXPECT_EQ(Judge(Document(allow)), kAllows);
  EXPECT_EQ(Judge(Document(Cat("[", allow, "]"))), kAllows);
  EXPECT_EQ(Judge(Document(allow), kArn + "2"), kSilent);
  EXPECT_EQ(Judge(Document(Statement("Allow", R"(["s3:Get*", "RDS-DB:Connect"])",
                                     Cat(R"(["arn:x", ")", kArn, "\"]")))),
            kAllows);
  EXPECT_EQ(Judge(Document(Statement("Allow", R"("s3:*")", R"("*")"))), kSilent);
  EXPECT_EQ(Judge(Document(Statement("Allow", R"("*")", R"("*")"))), kAllows);
  EXPECT_EQ(Judge(Cat(R"({"Id":"x","Statement":)", allow, "}")), kAllows);
  EXPECT_EQ(Judge(Document(Cat(R"({"Sid":"x",)", allow.substr(1)))), kAllows);
}

TEST(IamPolicyTest, DenyBeatsAllowWhereverItStands) {
  const std::string allow = Statement("Allow", R"("rds-db:*")", R"("*")");
  const std::string deny = Statement("Deny", R"("rds-db:connect")", R"("*/app")");
  EXPECT_EQ(Judge(Document(Cat("[", allow, ",", deny, "]"))), kDenies);
  EXPECT_EQ(Judge(Document(Cat("[", deny, ",", allow, "]"))), kDenies);
  EXPECT_EQ(Judge(Document(Cat("[", deny, ",", allow, "]")), kArn + "2"), kAllows);
  std::vector<IamPolicy> policies;
  EXPECT_FALSE(AllowedBy(policies, kIamConnectAction, kArn));
  policies.push_back(*IamPolicy::Parse(Document(allow)));
  EXPECT_TRUE(AllowedBy(policies, kIamConnectAction, kArn));
  policies.push_back(*IamPolicy::Parse(Document(deny)));
  EXPECT_FALSE(AllowedBy(policies, kIamConnectAction, kArn));
  std::swap(policies[0], policies[1]);
  EXPECT_FALSE(AllowedBy(policies, kIamConnectAction, kArn));
}

TEST(IamPolicyTest, Wildcards) {
  EXPECT_TRUE(MatchesWildcards("", ""));
  EXPECT_FALSE(MatchesWildcards("", "a"));
  EXPECT_TRUE(MatchesWildcards("*", ""));
  EXPECT_TRUE(MatchesWildcards("a*c", "abbbc"));
  EXPECT_FALSE(MatchesWildcards("a*c", "abbbcd"));
  EXPECT_TRUE(MatchesWildcards("a*b*c*", "aXbYbZc"));
  EXPECT_TRUE(MatchesWildcards("*ab", "aaab"));
  EXPECT_FALSE(MatchesWildcards("?", ""));
  EXPECT_TRUE(MatchesWildcards("a?c", "abc"));
  EXPECT_FALSE(MatchesWildcards("a?c", "ac"));
  EXPECT_TRUE(MatchesWildcards("a?c",
                               "a\xc3\xa9"
                               "c"));
  EXPECT_FALSE(MatchesWildcards("*??", "\xc3\xa9"));
  EXPECT_TRUE(MatchesWildcards("arn:aws:rds-db:*", kArn));
  EXPECT_TRUE(MatchesWildcards("arn:*/app", kArn));
  EXPECT_FALSE(MatchesWildcards("arn:*/APP", kArn));
  // No time for the patient: each '*' but the last is decided once.
  EXPECT_FALSE(MatchesWildcards("*a*a*a*a*a*a*a*a*a*a*b", std::string(5000, 'a')));
}

TEST(IamPolicyTest, WhatIsNotEvaluatedIsAnErrorWithItsPlace) {
  const std::string allow = Statement("Allow", R"("*")", R"("*")");
  for (const char* element :
       {"Condition", "NotAction", "NotResource", "Principal", "NotPrincipal"}) {
    const std::string with = Cat("{\"", element, "\":{},", allow.substr(1));
    EXPECT_EQ(ErrorOf(Document(Cat("[", allow, ",", with, "]"))),
              Cat("Statement 2: ", element,
                  ": is not evaluated by weir, and not ignored: write a statement without it"));
    EXPECT_TRUE(ErrorOf(Document(with)).starts_with("Statement: ")) << element;
  }
  EXPECT_EQ(ErrorOf(Document(Statement("Allow", R"("*")", R"("a/${aws:username}")"))),
            "Statement: Resource: policy variables (${aws:username}) are not evaluated by weir");
  EXPECT_EQ(ErrorOf(Document(Statement("Allow", R"("*")", R"(["a", "${*}"])"))),
            "Statement: Resource: policy variables (${*}) are not evaluated by weir");
  EXPECT_EQ(ErrorOf(Document(Cat(R"({"effect":"Allow",)", allow.substr(1)))),
            "Statement: unknown element \"effect\"");
  EXPECT_EQ(ErrorOf(R"({"Statement":[],"Statements":[]})"), "unknown element \"Statements\"");
}

TEST(IamPolicyTest, FormErrors) {
  EXPECT_EQ(ErrorOf(""), "line 1: not a JSON text");
  EXPECT_EQ(ErrorOf("{\n\n x"), "line 3: not a JSON text");
  EXPECT_EQ(ErrorOf("[]"), "not a JSON object");
  EXPECT_EQ(ErrorOf("{}"), "the element \"Statement\" is missing");
  EXPECT_EQ(ErrorOf(R"({"Version":"2020-01-01","Statement":[]})"),
            "Version: must be \"2012-10-17\"");
  EXPECT_EQ(ErrorOf(Document("[]")), "Statement: must be an object or a list of objects");
  EXPECT_EQ(ErrorOf(Document("[1]")), "Statement 1: must be an object");
  EXPECT_EQ(ErrorOf(Document(R"({"Action":"*","Resource":"*"})")),
            "Statement: Effect: must be \"Allow\" or \"Deny\"");
  EXPECT_EQ(ErrorOf(Document(Statement("ALLOW", R"("*")", R"("*")"))),
            "Statement: Effect: must be \"Allow\" or \"Deny\"");
  EXPECT_EQ(ErrorOf(Document(R"({"Effect":"Allow","Resource":"*"})")),
            "Statement: Action: is missing");
  EXPECT_EQ(ErrorOf(Document(R"({"Effect":"Allow","Action":"*"})")),
            "Statement: Resource: is missing");
  for (const char* bad : {"1", "[]", "[1]", "{}", "null", "[[\"*\"]]"}) {
    EXPECT_EQ(ErrorOf(Document(Statement("Allow", R"("*")", bad))),
              "Statement: Resource: must be a string or a list of strings")
        << bad;
  }
  EXPECT_EQ(ErrorOf(Document(Statement("Allow", R"([""])", R"("*")"))),
            "Statement: Action: is empty");
  // The second of two would hide the first.
  EXPECT_EQ(
      ErrorOf(R"({"Statement":{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}})"),
      "the key \"Effect\" comes twice in one object");
  EXPECT_EQ(ErrorOf(R"({"Statement":[],"Statement":[]})"),
            "the key \"Statement\" comes twice in one object");
}

}  // namespace
}  // namespace weir::protocol
