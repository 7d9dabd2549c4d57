// The AWS tools' credentials file: what is read, what is passed over, what is an error.
#include "protocol/auth/credentials_file.h"

#include <gtest/gtest.h>

#include <string>

namespace weir::protocol {
namespace {

std::string ErrorOf(std::string_view text) {
  const absl::StatusOr<std::vector<CredentialsEntry>> entries = ParseCredentialsFile(text);
  return entries.ok() ? "none" : std::string(entries.status().message());
}

TEST(CredentialsFileTest, SectionsCommentsAndBlanks) {
  const absl::StatusOr<std::vector<CredentialsEntry>> entries = ParseCredentialsFile(
      "\xef\xbb\xbf# of the applications\r\n"
      "[ orders-function ]  ; the first\r\n"
      "aws_access_key_id=AKIAORDERS\r\n"
      "AWS_Secret_Access_Key =  se/cr+et=  # a comment\r\n"
      "region = us-east-1\r\n"
      "  deeper = 1\r\n"
      "\r\n"
      "[role]\n"
      "role_arn = arn:aws:iam::1:role/x\n"
      "source_profile = default\n"
      "[temporary]\n"
      "  ; indented\n"
      "  aws_access_key_id = ASIA1\n"
      "  aws_secret_access_key = s#1;\n"
      "  aws_session_token = IQ//+x==");
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), 2u);
  EXPECT_EQ((*entries)[0].name, "orders-function");
  EXPECT_EQ((*entries)[0].key.id, "AKIAORDERS");
  EXPECT_EQ((*entries)[0].key.secret, "se/cr+et=");
  EXPECT_EQ((*entries)[0].key.session_token, "");
  EXPECT_EQ((*entries)[1].name, "temporary");
  EXPECT_EQ((*entries)[1].key.secret, "s#1;");
  EXPECT_EQ((*entries)[1].key.session_token, "IQ//+x==");
  EXPECT_TRUE(ParseCredentialsFile("")->empty());
  EXPECT_TRUE(ParseCredentialsFile("# nothing\n\n")->empty());
}

TEST(CredentialsFileTest, WhatCouldBeReadInTwoWaysIsAnError) {
  const std::string a = "[a]\naws_access_key_id = A\naws_secret_access_key = s\n";
  EXPECT_EQ(ErrorOf(a + a), "line 4: the section [a] begins on line 1 already");
  EXPECT_EQ(ErrorOf(a + "[b]\n" + a.substr(4)), "line 5: the key id of line 2");
  EXPECT_EQ(ErrorOf(a + "aws_access_key_id = B\n"),
            "line 4: aws_access_key_id stands on line 2 of this section already");
  EXPECT_EQ(ErrorOf(a + "   more\n"), "line 4: a value of several lines");
  EXPECT_EQ(ErrorOf("[a]\naws_access_key_id = A\n[b]\n"),
            "line 1: the section lacks aws_secret_access_key");
  EXPECT_EQ(ErrorOf("[a]\naws_secret_access_key = A"),
            "line 1: the section lacks aws_access_key_id");
  EXPECT_EQ(ErrorOf("[a]\naws_session_token = A"), "line 2: aws_session_token without a key");
}

TEST(CredentialsFileTest, FormErrorsNameTheLineAndNoSecret) {
  EXPECT_EQ(ErrorOf("aws_secret_access_key = hidden"),
            "line 1: a setting before the first section");
  EXPECT_EQ(ErrorOf("[a]\n\nhidden\n"), "line 3: neither a section nor name = value");
  EXPECT_EQ(ErrorOf("[a\n"), "line 1: a section is [name]");
  EXPECT_EQ(ErrorOf("[ ]\n"), "line 1: a section without a name");
  EXPECT_EQ(ErrorOf("[a]\naws_secret_access_key =\n"),
            "line 2: aws_secret_access_key: empty, or with characters that no key has");
  EXPECT_EQ(ErrorOf("[a]\naws_secret_access_key = \"hidden\"\n"),
            "line 2: aws_secret_access_key: empty, or with characters that no key has");
  EXPECT_EQ(ErrorOf("[a]\naws_access_key_id = hid/den\n"),
            "line 2: aws_access_key_id: a key id has no '/' (are the two values exchanged?)");
  EXPECT_EQ(ErrorOf(std::string_view("[a]\nx = \0y", 9)), "line 2: a NUL character");
}

}  // namespace
}  // namespace weir::protocol
