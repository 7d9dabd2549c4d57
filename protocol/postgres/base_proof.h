// Whether a server takes a client's base, and what it makes of it: asked once, on a backend that
// nobody else has meanwhile.
//
//   (others' settings taken back) -> set -> client_encoding -> values
//                                     \-> which can only be set at the start (55P02)
//
// The settings are set in the order in which they were given, as the backend's own encoding has
// them. The values are the server's spelling of them; they are read, and later set, in the client's
// encoding.
#pragma once

#include <string>
#include <string_view>

#include "protocol/dialect.h"
#include "protocol/postgres/own_messages.h"
#include "protocol/postgres/profile.h"
#include "protocol/postgres/replies.h"

namespace weir::postgres {

class PostgresBaseProof final : public protocol::BaseProof {
 public:
  PostgresBaseProof(ProfileTable& profiles, protocol::Parameters base)
      : profiles_(profiles), base_(std::move(base)) {}

  [[nodiscard]] Next Continue(protocol::Replies& replies, protocol::ExchangeSink& sink) override;
  const protocol::Parameters& values() const override { return values_; }
  const protocol::Parameters& only_at_start() const override { return only_at_start_; }
  std::string_view error() const override { return error_; }

 private:
  enum class Step : uint8_t { kBegin, kClean, kSet, kEncoding, kValues, kContexts, kDone };

  void Clean(PostgresReplies& replies, protocol::ExchangeSink& sink);
  Next Set(PostgresReplies& replies, protocol::ExchangeSink& sink);
  Next SetEncoding(PostgresReplies& replies, protocol::ExchangeSink& sink);
  Next AskValues(PostgresReplies& replies, protocol::ExchangeSink& sink);
  Next OnNotSet(PostgresReplies& replies, protocol::ExchangeSink& sink);
  Next OnValues(PostgresReplies& replies);
  Next OnContexts(PostgresReplies& replies);
  Next Refuse(PostgresReplies& replies);

  ProfileTable& profiles_;
  const protocol::Parameters base_;
  Step step_ = Step::kBegin;
  protocol::Parameters values_;
  protocol::Parameters only_at_start_;
  std::string error_;
};

}  // namespace weir::postgres
