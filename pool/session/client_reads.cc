// A client's read that is in flight together with those of others, or may be: what is one, where it
// goes, how it ends, and how it is sent again.
#include <algorithm>
#include <cstdint>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "pool/session/backend_session.h"
#include "pool/session/client_session.h"

namespace weir::pool {

namespace {

// A read that was sent again so often goes like any other request.
constexpr uint8_t kRepeatsMax = 3;

}  // namespace

// Is it one, by what is known now?
bool ClientSession::FindRead(engine::Bytes request, ReadTicket& ticket) {
  if (services_.config->endpoints[endpoint_].pipelining != "reads" || repeats_ >= kRepeatsMax ||
      pinned_ || keeps_link_ || reset_backend_)
    return false;
  const ShardCatalogues::View* view = services_.catalogues.Of(services_, route);
  if (view == nullptr) return false;
  ticket.reading = services_.catalogues.Reading(services_, route);
  if (ticket.reading == 0) return false;
  const protocol::Read found = requests_->FindRead(request, view->view);
  if (found.length == 0) return false;
  // What it costs depends on the database, too.
  ticket.kind = found.kind ^ route * uint64_t{0x9E3779B97F4A7C15};
  const ReadCost cost = services_.reads.history.Of(ticket.kind);
  ticket.cost = cost.time;
  ticket.joins = cost.known && cost.quick;
  return true;
}

// Nothing but one read is in hand: it goes where it may join others, or waits for its turn.
// kNo: it borrows like any other request. kLinked: it has, a backend in other settings than its
// own.
ClientSession::Reading ClientSession::BorrowToRead(engine::Bytes request) {
  ReadTicket ticket;
  if (!FindRead(request, ticket)) return Reading::kNo;
  since = services_.shard.now();
  deadline = since + services_.config->connection_pool.connection_borrow_timeout;
  profile = requests_->profile();
  reads = ticket.joins;
  read_cost = static_cast<uint32_t>(std::min<engine::Nanos>(ticket.cost, INT32_MAX));
  Move(ClientState::kWaiting);
  Backend* backend = services_.pool.BorrowToRead(*this);
  auto* session = static_cast<BackendSession*>(backend);
  const bool starts = session != nullptr && StartRead(*session, request, ticket);
  if (session != nullptr && !starts && session->carries()) {
    // Not beside those that are in flight there.
    Move(ClientState::kIdle);
    return Reading::kNo;
  }
  services_.metrics.Add(Counter::kDatabaseConnectionsBorrowRequests);
  if (session == nullptr) return Reading::kWaits;
  if (starts) return Reading::kStarted;
  Link(*session);
  return Reading::kLinked;
}

bool ClientSession::StartRead(BackendSession& backend, engine::Bytes request,
                              const ReadTicket& ticket) {
  CHECK(state_ == ClientState::kWaiting);
  if (!backend.StartRead(*this, *requests_, request, ticket)) return false;
  backend_ = &backend;
  preferred = 0;
  Move(ClientState::kReading);
  taken_bytes_ += static_cast<uint32_t>(request.size());
  const engine::Nanos now = services_.shard.now();
  services_.metrics.RecordBorrow(now - since);
  transaction_began_ = now;
  return true;
}

// It has waited; what it may do now is judged by what is known now.
bool ClientSession::StartHeldRead(BackendSession& backend) {
  if (held_.empty() || held_.size() != held_.Front().length) return false;
  const engine::Slice request = held_.Front();
  ReadTicket ticket;
  if (!FindRead(request.bytes(), ticket) || (backend.reads > 0 && !ticket.joins) ||
      !StartRead(backend, request.bytes(), ticket))
    return false;
  held_.Consume(request.length);
  return true;
}

void ClientSession::EndRead() {
  backend_ = nullptr;
  Move(ClientState::kIdle);
  need_ = 1;
}

void ClientSession::OnReadDone(bool refused) {
  CHECK(state_ == ClientState::kReading);
  const engine::Nanos now = services_.shard.now();
  last_active_ = now;
  requests_->OnReadEnded(refused);
  services_.metrics.RecordTransaction(now - transaction_began_);
  repeats_ = 0;
  EndRead();
  if (services_.draining) {
    Kill(kShuttingDown);
    return;
  }
  if (!held_.empty() || end_of_stream_) PumpHeld();
  if (state_ != ClientState::kClosing && !stream_.receiving() && stream_.open()) Backpressure();
}

// Nothing of its reply has come: what has been sent counts for nothing.
void ClientSession::RepeatRead(Repeat reason, const ClientRead& read) {
  CHECK(state_ == ClientState::kReading);
  static constexpr Counter kReasons[] = {Counter::kReadsRepeatedSlow, Counter::kReadsRepeatedReader,
                                         Counter::kReadsRepeatedCancel,
                                         Counter::kReadsRepeatedLost};
  services_.metrics.Add(kReasons[static_cast<size_t>(reason)]);
  ++repeats_;
  held_.Prepend(services_.shard.chunks(), read.bytes);
  EndRead();
  PumpHeld();
}

void ClientSession::OnReadLost(bool at_boundary, std::string_view server_error) {
  CHECK(state_ == ClientState::kReading);
  repeats_ = 0;
  EndRead();
  if (!at_boundary) {
    Close();
    return;
  }
  const std::string error =
      server_error.empty()
          ? services_.dialect.EncodeError(false, kConnectionLost.sqlstate, kConnectionLost.text)
          : services_.dialect.ReencodeError(server_error, false);
  requests_->RefuseRead(engine::AsBytes(error), *this);
  PumpHeld();
}

// It wants its reply no more.
void ClientSession::LeaveRead() {
  backend_->DisownRead(*this);
  backend_ = nullptr;
}

// What the server has not come to is answered here; what it is at, is cancelled there, and nobody
// else is behind it.
void ClientSession::CancelRead() {
  if (WEIR_FAULT("cancel_hits_a_stranger")) {
    backend_->CancelRequest();
    return;
  }
  if (backend_->IsAtHead(*this)) {
    backend_->CancelRead();
    return;
  }
  backend_->DisownRead(*this);
  repeats_ = 0;
  EndRead();
  const std::string error =
      services_.dialect.EncodeError(false, kCancelled.sqlstate, kCancelled.text);
  requests_->RefuseRead(engine::AsBytes(error), *this);
  PumpHeld();
}

}  // namespace weir::pool
