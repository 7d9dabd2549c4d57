#include "engine/stream.h"

#include <cerrno>
#include <utility>

#include "engine/base/fault.h"
#include "engine/stream_tls.h"

namespace weir::engine {
namespace {

// A receive buffer this full is likely not the last of its message.
constexpr uint32_t kBulkEnds = 4096;
constexpr uint8_t kBulkBegins = 2;
constexpr Nanos kLingerTimeout = 2 * kSecond;

}  // namespace

Stream::Stream() = default;

Stream::~Stream() {
  CHECK(life_ == Life::kNone || life_ == Life::kGone);
  CHECK(!dirty_ && unreleased_ == 0);
}

void Stream::Attach(StreamContext& context, int fd, BufferGroup group, StreamEvents& events) {
  CHECK(life_ == Life::kNone && fd >= 0);
  context_ = &context;
  events_ = &events;
  fd_ = fd;
  group_ = group;
  life_ = Life::kOpen;
  receive_op_.Bind<&Stream::OnReceive>(*this);
  send_op_.Bind<&Stream::OnSent>(*this);
  hangup_op_.Bind<&Stream::OnHangup>(*this);
  timer_.Bind(Callback::To<&Stream::OnTimer>(*this));
  StartReceiving();
}

void Stream::Attach(StreamContext& context, Detached&& detached, BufferGroup group,
                    StreamEvents& events) {
  if (detached.tls != nullptr) tls_ = std::make_unique<StreamTls>(*this, std::move(detached.tls));
  // An encrypted stream may have bytes that are decrypted and not yet taken, too.
  if (!detached.unread.empty() || tls_ != nullptr)
    unread_ = std::make_unique<std::vector<uint8_t>>(std::move(detached.unread));
  Attach(context, detached.fd, group, events);
  if (unread_ != nullptr) MarkDirty();
}

void Stream::DeliverUnread() {
  const std::unique_ptr<std::vector<uint8_t>> unread = std::move(unread_);
  context_->told_owners_ = true;
  if (tls_ != nullptr) {
    Decrypt(*unread);
  } else {
    events_->OnBytes(context_->chunks.Copy(*unread));
  }
}

void Stream::KeepUnread(Bytes bytes) {
  if (unread_ == nullptr) unread_ = std::make_unique<std::vector<uint8_t>>();
  unread_->insert(unread_->end(), bytes.begin(), bytes.end());
}

void Stream::StartReceiving() {
  receive_state_ = Receive::kOn;
  if (receive_op_.in_flight() || starving_link_.linked() || ended_ || broken_) return;
  if (!bulk_wanted_) {
    context_->io.StartReceive(fd_, group_, receive_op_);
    return;
  }
  bulk_chunk_ = context_->chunks.Allocate(kBulkBytes);
  context_->io.ReceiveInto(fd_, MutableBytes(bulk_chunk_->data, kBulkBytes), receive_op_);
}

void Stream::OnReceive(const Completion& completion) {
  if (bulk_chunk_) {
    TakeBulk(completion);
    return;
  }
  if (completion.result > 0) {
    const bool full = completion.bytes.length == completion.bytes.chunk->size;
    full_chunks_ = full ? static_cast<uint8_t>(full_chunks_ + 1) : 0;
    if (full_chunks_ >= kBulkBegins && !bulk_wanted_ && receive_op_.in_flight()) {
      bulk_wanted_ = true;
      context_->io.Cancel(receive_op_);
    }
    Deliver(completion.bytes);
  }
  if (!completion.more) ReceiveEnded(completion.result);
}

void Stream::TakeBulk(const Completion& completion) {
  const ChunkRef chunk = std::move(bulk_chunk_);
  if (completion.result > 0) {
    const uint32_t length = static_cast<uint32_t>(completion.result);
    if (length < kBulkEnds) {
      bulk_wanted_ = false;
      full_chunks_ = 0;
    }
    Deliver(length < kBulkBytes / 4 ? context_->chunks.Copy(Bytes(chunk->data, length))
                                    : Slice{chunk, 0, length});
  }
  ReceiveEnded(completion.result);
}

void Stream::Deliver(Slice bytes) {
  switch (life_) {
    case Life::kOpen:
      if (unread_ != nullptr) DeliverUnread();
      if (life_ != Life::kOpen) {
        Deliver(std::move(bytes));
      } else if (tls_ != nullptr) {
        DeliverCiphertext(bytes);
      } else {
        events_->OnBytes(std::move(bytes));
      }
      return;
    case Life::kDetaching:
      KeepUnread(bytes.bytes());
      return;
    case Life::kNone:
    case Life::kLingering:
    case Life::kClosing:
    case Life::kGone:
      return;
  }
}

// No receive is in flight any more: end, error, stopped, or to be begun again.
void Stream::ReceiveEnded(int32_t result) {
  if (result == 0) {
    End(StreamEnd::kOrderly);
  } else if (result == -ENOBUFS) {
    ++context_->io.counts().enobufs;
    if (life_ == Life::kOpen && receive_state_ == Receive::kOn && !bulk_wanted_) {
      context_->starving_[static_cast<int>(group_)].PushBack(*this);
      return;
    }
  } else if (result < 0 && result != -ECANCELED && result != -EINTR && result != -EAGAIN) {
    End(StreamEnd::kReset);
  }
  if (life_ == Life::kClosing || life_ == Life::kDetaching) {
    if (joined()) MarkDirty();
    return;
  }
  if (ended_ || broken_) return;
  if (receive_state_ == Receive::kOn) {
    StartReceiving();
  } else if (receive_state_ == Receive::kStopping) {
    receive_state_ = Receive::kStopped;
    if (!hangup_op_.in_flight()) context_->io.PollHangup(fd_, hangup_op_);
  }
}

void Stream::End(StreamEnd end) {
  if (broken_ || (ended_ && end == StreamEnd::kOrderly)) return;
  if (end == StreamEnd::kOrderly) {
    ended_ = true;
  } else {
    broken_ = true;
  }
  switch (life_) {
    case Life::kOpen:
      // An owner that has said its last word is waiting for the end.
      if (close_when_sent_ && broken_) {
        Close();
        return;
      }
      events_->OnEnd(end);
      return;
    case Life::kLingering:
      Close();
      return;
    case Life::kDetaching:
      if (!broken_) return;
      life_ = Life::kOpen;
      events_->OnEnd(end);
      return;
    case Life::kNone:
    case Life::kClosing:
    case Life::kGone:
      return;
  }
}

void Stream::OnHangup(const Completion& completion) {
  if (life_ == Life::kClosing || life_ == Life::kDetaching) {
    if (joined()) MarkDirty();
    return;
  }
  if (completion.result >= 0 && receive_state_ == Receive::kStopped) End(StreamEnd::kReset);
}

void Stream::StopReceiving() {
  if (life_ != Life::kOpen || receive_state_ != Receive::kOn) return;
  if (starving_link_.linked()) context_->starving_[static_cast<int>(group_)].Remove(*this);
  receive_state_ = Receive::kStopping;
  if (receive_op_.in_flight()) {
    context_->io.Cancel(receive_op_);
  } else {
    receive_state_ = Receive::kStopped;
    if (!ended_ && !broken_ && !hangup_op_.in_flight()) context_->io.PollHangup(fd_, hangup_op_);
  }
}

void Stream::ResumeReceiving() {
  if (life_ != Life::kOpen || receive_state_ == Receive::kOn) return;
  // While stopping, the receive that ends begins again by itself.
  const bool stopped = receive_state_ == Receive::kStopped;
  receive_state_ = Receive::kOn;
  if (stopped) StartReceiving();
}

void Stream::MarkDirty() {
  if (dirty_) return;
  dirty_ = true;
  context_->dirty_.push_back(this);
}

void Stream::Flush() {
  dirty_ = false;
  switch (life_) {
    case Life::kOpen:
      if (unread_ != nullptr) DeliverUnread();
      if (life_ == Life::kOpen) FlushSend();
      return;
    case Life::kLingering:
      FlushSend();
      return;
    case Life::kClosing:
      FinishClosing();
      return;
    case Life::kDetaching:
      FinishDetaching();
      return;
    case Life::kNone:
    case Life::kGone:
      return;
  }
}

void Stream::OnTimer() {
  if (life_ == Life::kLingering) {
    Close();
  } else if (life_ == Life::kClosing && fd_ >= 0) {
    context_->io.Abort(std::exchange(fd_, -1));
  } else if (life_ == Life::kOpen && sending()) {
    if (close_when_sent_) {
      Close();
    } else {
      End(StreamEnd::kWriteTimeout);
    }
  }
}

void Stream::CloseWhenSent() {
  if (life_ != Life::kOpen) return;
  if (broken_) {
    Close();
    return;
  }
  close_when_sent_ = true;
  MarkDirty();
}

// All is sent. The peer reads it before we close: bytes that it still sends would make the kernel
// reset the connection and take our last words back.
void Stream::Leave() {
  if (life_ != Life::kOpen) return;
  if (ended_ || receive_state_ != Receive::kOn) {
    if (!ended_) ResumeReceiving();
    if (ended_) {
      Close();
      return;
    }
  }
  life_ = Life::kLingering;
  context_->io.Shutdown(fd_);
  context_->timers.Arm(timer_, context_->io.Now() + kLingerTimeout);
}

void Stream::Close() {
  if (life_ != Life::kOpen && life_ != Life::kLingering && life_ != Life::kDetaching) return;
  life_ = Life::kClosing;
  if (tls_ != nullptr && tls_->turn.linked()) context_->handshakes_->waiting.Remove(*tls_);
  context_->timers.Cancel(timer_);
  if (starving_link_.linked()) context_->starving_[static_cast<int>(group_)].Remove(*this);
  for (Operation* operation : {&receive_op_, &hangup_op_}) {
    if (operation->in_flight()) context_->io.Cancel(*operation);
  }
  if (sending()) CancelSend();
  MarkDirty();
}

bool Stream::joined() const {
  return !receive_op_.in_flight() && !sending() && !hangup_op_.in_flight();
}

void Stream::FinishClosing() {
  if (!joined()) return;
  if (unreleased_ > 0) {
    AwaitReleases();
    return;
  }
  context_->timers.Cancel(timer_);
  ForgetQueue();
  tls_.reset();
  life_ = Life::kGone;
  if (fd_ >= 0) context_->io.Close(std::exchange(fd_, -1));
  context_->told_owners_ = true;
  events_->OnClosed();
}

// The peer gets what was sent, as it would if the kernel had a copy of its own, as long as it goes
// on taking. What was cut short is of no use to it.
void Stream::AwaitReleases() {
  if (fd_ < 0 || timer_.armed()) return;
  if (broken_ || !queue_.empty()) {
    context_->io.Abort(std::exchange(fd_, -1));
    return;
  }
  context_->io.Shutdown(fd_);
  context_->timers.Arm(timer_, context_->io.Now() + context_->write_timeout);
}

void Stream::Detach() {
  CHECK(life_ == Life::kOpen && queue_.empty() && !broken_);
  CHECK(tls_ == nullptr || (tls_->tls->ready() && !tls_->turn.linked()));
  life_ = Life::kDetaching;
  context_->timers.Cancel(timer_);
  if (starving_link_.linked()) context_->starving_[static_cast<int>(group_)].Remove(*this);
  for (Operation* operation : {&receive_op_, &hangup_op_}) {
    if (operation->in_flight()) context_->io.Cancel(*operation);
  }
  MarkDirty();
}

void Stream::FinishDetaching() {
  if (!joined() || unreleased_ > 0) return;
  life_ = Life::kGone;
  Detached detached{std::exchange(fd_, -1), {}, ended_, nullptr};
  if (tls_ != nullptr) detached.tls = std::move(tls_->tls);
  if (unread_ != nullptr) detached.unread = std::move(*unread_);
  context_->told_owners_ = true;
  events_->OnDetached(std::move(detached));
}

bool StreamContext::Flush() {
  told_owners_ = false;
  ContinueHandshakes();
  CheckSends();
  // Ends may make other streams dirty.
  for (size_t i = 0; i < dirty_.size(); ++i) dirty_[i]->Flush();
  dirty_.clear();
  if (!WEIR_FAULT("starving_receive_forgotten")) Rearm();
  return told_owners_ || !handshakes_->waiting.empty();
}

// Sends that were not complete by the tick after their submission.
void StreamContext::CheckSends() {
  const auto scarce = [this](BufferGroup group) {
    return io.buffers_free(group) < io.buffers(group) / 2;
  };
  const bool relieve =
      !sending_.empty() && (scarce(BufferGroup::kClients) || scarce(BufferGroup::kBackends));
  Stream* next = nullptr;
  for (Stream* stream = sending_.Front(); stream != nullptr; stream = next) {
    next = sending_.Next(*stream);
    if (stream->life_ != Stream::Life::kOpen) continue;
    if (relieve && stream->holds_ring_) {
      stream->holds_ring_ = false;
      stream->CancelSend();
    }
    if (!stream->timer_.armed()) timers.Arm(stream->timer_, stream->progress_at_ + write_timeout);
  }
}

// Receives that found no buffer begin again, oldest first, while a few buffers are free.
void StreamContext::Rearm() {
  for (int group = 0; group < kBufferGroups; ++group) {
    uint32_t free = io.buffers_free(static_cast<BufferGroup>(group));
    const uint32_t reserve = io.buffers(static_cast<BufferGroup>(group)) / 8;
    while (free > reserve && !starving_[group].empty()) {
      Stream& stream = *starving_[group].PopFront();
      --free;
      stream.StartReceiving();
    }
  }
}

}  // namespace weir::engine
