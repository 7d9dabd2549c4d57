// A backend that carries reads of several clients: replies go to whom they are owed, in order.
//
// Nobody waits for a stranger: when the read at the head takes far longer than its kind usually
// does, returns far more, is cancelled, or its client does not take its reply, those behind it are
// sent again elsewhere, and their replies here are swallowed. When the backend is lost, all are,
// but for one whose reply has begun to reach its client.
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "pool/session/backend_session.h"
#include "pool/session/cancel.h"
#include "pool/session/client_session.h"
#include "pool/session/session_log.h"

namespace weir::pool {

using protocol::ReplyStatus;

namespace {

// The read at the head is slow if it takes this many times pipeline_max_wait, and far longer than
// heads have taken lately: where the machine is short of CPU, all do.
constexpr engine::Nanos kSlowWaits = 4;
// ... and too long is a reply of so many bytes.
constexpr uint64_t kLongReply = uint64_t{64} * 1024;

}  // namespace

bool BackendSession::StartRead(ClientSession& client, protocol::Requests& requests,
                               engine::Bytes request, const ReadTicket& ticket) {
  CHECK(client_ == nullptr && state() == BackendState::kLinked);
  if (phase_ != BackendPhase::kReady || cancels_ > 0 || closed_to_reads) return false;
  if (!requests.StartRead(request, *replies_, *this)) return false;
  const engine::Nanos now = services_.shard.now();
  carries_ = true;
  services_.metrics.Add(Counter::kReads);
  if (!carried_.empty()) services_.metrics.Add(Counter::kReadsJoined);
  carried_.PushBack({.client = &client,
                     .read = services_.reads.New(request),
                     .ticket = ticket,
                     .sent_at = now,
                     .alone = carried_.empty()});
  services_.metrics.Add(Counter::kReadsInFlight, carried_.size());
  // Who is not known to be quick runs alone.
  if (!ticket.joins) closed_to_reads = true;
  last_request_ = now;
  services_.pool.OnReadStarted(*this, ticket.cost);
  if (carried_.size() == 2) services_.WatchReads();
  return true;
}

void BackendSession::ForwardToClient(uint32_t offset, uint32_t length) {
  if (!carries_) return;
  const bool wrong = WEIR_FAULT("reply_to_the_next_reader") && carried_.size() > reads_ended_ + 1;
  CarriedRead& read = carried_[reads_ended_ + (wrong ? 1 : 0)];
  read.bytes += length;
  if (read.client != nullptr) read.client->stream().Queue(input_.Sub(offset, length));
}

void BackendSession::InsertToClient(engine::Bytes bytes) {
  if (!carries_) return;
  CarriedRead& read = carried_[reads_ended_];
  read.bytes += bytes.size();
  if (read.client != nullptr) read.client->stream().Queue(bytes);
}

void BackendSession::OnReadEnded(bool refused) {
  CHECK(carries_ && reads_ended_ < carried_.size());
  carried_[reads_ended_].refused = refused;
  ++reads_ended_;
}

void BackendSession::TakeReads(engine::Slice bytes) {
  input_ = std::move(bytes);
  const ReplyStatus status = replies_->Take(input_.bytes(), *this);
  input_ = {};
  TellEnded();
  if (status != ReplyStatus::kOk) {
    const std::string error(replies_->fatal_error());
    LoseReads(status == ReplyStatus::kFatal ? "the server ended the session"
                                            : "unexpected message from the server",
              error);
    return;
  }
  if (carried_.empty()) {
    if (replies_->quiet()) EndCarrying();
    return;
  }
  if (HeadIsTaken() && carried_.Front().bytes > kLongReply && carried_.size() > 1) {
    services_.reads.history.ObserveSlow(carried_.Front().ticket.kind, services_.shard.now());
    MoveReads(Repeat::kSlow);
  }
  if (!carried_.empty() && !closed_to_reads) services_.pool.OfferRoom(*this);
}

// Those whose reply is whole. They may ask on, and be in flight here again.
void BackendSession::TellEnded() {
  if (reads_ended_ == 0) return;
  Observe(reads_ended_);
  while (reads_ended_ > 0) {
    --reads_ended_;
    CarriedRead read = carried_.PopFront();
    if (read.read != nullptr) services_.reads.Free(std::move(read.read));
    services_.pool.OnReadEnded(*this, read.ticket.cost);
    services_.reads.Earn();
    const uint64_t reading = services_.catalogues.Reading(services_, route());
    if (reading != read.ticket.reading) {
      read_doubted_ = true;
      closed_to_reads = true;
    }
    repeat_.reset();
    if (read.client != nullptr) read.client->OnReadDone(read.refused);
  }
}

// What the first `count` have cost, from when the server can have begun with them. They have come
// together: to each its part.
void BackendSession::Observe(uint32_t count) {
  const engine::Nanos now = services_.shard.now();
  Reads& known = services_.reads;
  const CarriedRead& first = carried_.Front();
  if (first.alone && count == 1) known.distance.Observe(now - first.sent_at, now);
  const engine::Nanos each = known.distance.ServiceTime(first.sent_at, last_ended_, now) / count;
  const bool slow = now - HeadSince() > LongHead();
  const engine::Nanos quick = services_.config->connection_pool.pipeline_max_wait / 2;
  if (first.ticket.cost > 0 && first.ticket.cost < quick) known.ObserveHead(now - HeadSince());
  for (uint32_t i = 0; i < count; ++i) {
    const CarriedRead& read = carried_[i];
    known.history.Observe(read.ticket.kind, each,
                          static_cast<uint32_t>(std::min<uint64_t>(read.bytes, UINT32_MAX)),
                          slow && i == 0, now);
  }
  last_ended_ = now;
}

// The client at the head takes what it gets; else nothing comes any more until it does.
bool BackendSession::HeadIsTaken() {
  ClientSession* client = carried_.Front().client;
  if (client == nullptr) return true;
  engine::Stream& to = client->stream();
  const bool full =
      services_.shard.chunks().exhausted() && to.queued_bytes() > engine::Stream::kLowWater;
  if (!to.above_high_water() && !full) return true;
  to.TellWhenDrained();
  stream_.StopReceiving();
  MoveReads(Repeat::kReader);
  return false;
}

std::pair<ClientSession*, std::unique_ptr<ClientRead>> BackendSession::TakeAway(size_t place) {
  CarriedRead& read = carried_[place];
  if (read.client == nullptr) return {};
  if (WEIR_FAULT("disowned_reply_not_swallowed") && place > 0)
    return {read.client, std::make_unique<ClientRead>(*read.read)};
  replies_->DisownRead(place - reads_ended_);
  return {std::exchange(read.client, nullptr), std::move(read.read)};
}

// Those behind the head go elsewhere, and nobody joins until all that is in flight is over.
void BackendSession::MoveReads(Repeat reason) {
  closed_to_reads = true;
  std::vector<std::pair<ClientSession*, std::unique_ptr<ClientRead>>> moved;
  for (size_t i = 1; i < carried_.size(); ++i) moved.push_back(TakeAway(i));
  for (auto& [client, read] : moved) {
    if (client == nullptr) continue;
    client->RepeatRead(reason, *read);
    services_.reads.Free(std::move(read));
  }
}

engine::Nanos BackendSession::HeadSince() const {
  return std::max(carried_.Front().sent_at, last_ended_);
}

// From here on it keeps others waiting.
engine::Nanos BackendSession::LongHead() const {
  return std::max(services_.reads.LongHead(),
                  kSlowWaits * services_.config->connection_pool.pipeline_max_wait);
}

void BackendSession::CheckReads(engine::Nanos now) {
  if (carried_.size() < 2 || closed_to_reads) return;
  const CarriedRead& head = carried_.Front();
  if (now - HeadSince() <= LongHead()) return;
  services_.reads.history.ObserveSlow(head.ticket.kind, now);
  if (services_.reads.Pay(carried_.size() - 1)) {
    MoveReads(Repeat::kSlow);
  } else {
    closed_to_reads = true;
  }
}

void BackendSession::DisownRead(ClientSession& client) {
  for (size_t i = 0; i < carried_.size(); ++i) {
    if (carried_[i].client != &client) continue;
    CHECK(i >= reads_ended_);
    carried_[i].client = nullptr;
    services_.reads.Free(std::move(carried_[i].read));
    replies_->DisownRead(i - reads_ended_);
    if (i == 0 && !stream_.receiving()) stream_.ResumeReceiving();
    return;
  }
  UNREACHABLE();
}

bool BackendSession::IsAtHead(const ClientSession& client) const {
  return carried_.Front().client == &client;
}

bool BackendSession::AtBoundaryOf(const ClientSession& client) const {
  return !IsAtHead(client) || replies_->at_boundary();
}

void BackendSession::CancelRead() {
  MoveReads(Repeat::kCancel);
  CancelRequest();
}

// For the pool it is a backend like any other again.
void BackendSession::StopCarrying() {
  for (; !carried_.empty(); carried_.PopFront())
    services_.pool.OnReadEnded(*this, carried_.Front().ticket.cost);
  carries_ = false;
  services_.pool.EndReads(*this);
  repeat_.reset();
  if (!stream_.receiving()) stream_.ResumeReceiving();
}

void BackendSession::EndCarrying() {
  StopCarrying();
  if (std::exchange(read_doubted_, false)) {
    // What was run is not known: all that may be left of it goes.
    Move(BackendPhase::kAbandoned);
    if (!services_.config->connection_pool.init_query.empty()) {
      services_.pool.Discard(*this);
      return;
    }
    discard_due_ = true;
    services_.shard.timers().Arm(timer_, services_.shard.now() + kCleanTimeout);
    Clean();
    return;
  }
  if (cancels_ > 0) {
    Move(BackendPhase::kCancelling);
    services_.shard.timers().Arm(timer_, services_.shard.now() + kCleanTimeout);
    return;
  }
  GiveBack();
}

// All that has not begun to reach its client is sent again.
void BackendSession::LoseReads(std::string_view why, std::string_view server_error) {
  const bool boundary = replies_->at_boundary();
  const bool begun =
      !carried_.empty() && carried_.Front().bytes > 0 && !WEIR_FAULT("repeated_after_a_byte");
  std::vector<std::pair<ClientSession*, std::unique_ptr<ClientRead>>> left;
  for (size_t i = 0; i < carried_.size(); ++i) left.push_back(TakeAway(i));
  StopCarrying();
  LogBackendLost(services_, *this, why);
  Lost();
  for (size_t i = 0; i < left.size(); ++i) {
    auto& [client, read] = left[i];
    if (client == nullptr) continue;
    if (begun && i == 0) {
      client->OnReadLost(boundary, server_error);
    } else {
      client->RepeatRead(Repeat::kLost, *read);
    }
    services_.reads.Free(std::move(read));
  }
}

}  // namespace weir::pool
