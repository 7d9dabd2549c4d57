#include "engine/uring.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>

#include "engine/base/text.h"
#include "engine/socket.h"

namespace weir::engine {
namespace {

// user_data of completions that belong to no operation.
constexpr uint64_t kIgnored = 0;
constexpr uint64_t kWoken = 1;
constexpr uint64_t kEvent = 2;
constexpr uint64_t kReserved = 8;  // operations are aligned: their addresses are larger

constexpr uint32_t kSubmissions = 512;
constexpr uint32_t kCompletions = 8192;
constexpr uint32_t kCompletionsLeast = 1024;

enum Kind : uint8_t {
  kAccept,
  kConnect,
  kReceiveClients,
  kReceiveBackends,
  kReceiveInto,
  kSend,
  kSendZeroCopy,
  kPoll
};

bool KernelAtLeast(int major, int minor) {
  utsname name{};
  int have_major = 0;
  int have_minor = 0;
  if (uname(&name) != 0 || std::sscanf(name.release, "%d.%d", &have_major, &have_minor) != 2)
    return false;
  return have_major > major || (have_major == major && have_minor >= minor);
}

std::string ReadSysctl(const char* path) {
  std::FILE* file = std::fopen(path, "re");
  if (file == nullptr) return {};
  char text[32] = {};
  const size_t length = std::fread(text, 1, sizeof text - 1, file);
  std::fclose(file);
  return std::string(text, length);
}

}  // namespace

absl::StatusOr<UringMask> UringMask::Parse(std::string_view names) {
  UringMask mask;
  while (!names.empty()) {
    const std::string_view name = names.substr(0, names.find(','));
    names.remove_prefix(std::min(names.size(), name.size() + 1));
    if (name == "no_fast_wake") {
      mask.no_fast_wake = true;
    } else if (name == "one_shot_receive") {
      mask.one_shot_receive = true;
    } else if (name == "tiny_rings") {
      mask.tiny_rings = true;
    } else if (name == "flood") {
      mask.flood = true;
    } else if (name == "burst") {
      mask.burst = true;
    } else if (name == "no_zero_copy") {
      mask.no_zero_copy = true;
    } else {
      return absl::InvalidArgumentError(Cat(
          "WEIR_MASK: \"", name,
          "\" is none of no_fast_wake, one_shot_receive, tiny_rings, flood, burst, no_zero_copy"));
    }
  }
  return mask;
}

absl::Status Uring::Explain(int error) {
  switch (error) {
    case ENOSYS:
      return absl::UnavailableError("this kernel has no io_uring: weir needs Linux 6.1 or newer");
    case EPERM: {
      const std::string disabled = ReadSysctl("/proc/sys/kernel/io_uring_disabled");
      if (!disabled.empty() && disabled[0] != '0') {
        return absl::UnavailableError(
            Cat("io_uring is switched off on this host (sysctl kernel.io_uring_disabled = ",
                disabled.substr(0, 1),
                "): set it to 0, or to 1 and run weir in the group of kernel.io_uring_group"));
      }
      return absl::UnavailableError(
          "io_uring is refused, most likely by the container's seccomp profile (the default ones "
          "of Docker and "
          "containerd block it): allow io_uring_setup, io_uring_enter and io_uring_register in the "
          "profile, or run "
          "with --security-opt seccomp=unconfined");
    }
    case ENOMEM:
      return absl::UnavailableError(
          "not enough locked memory for io_uring: raise RLIMIT_MEMLOCK (systemd: "
          "LimitMEMLOCK=infinity; containers: "
          "--ulimit memlock=-1; shells: ulimit -l)");
    case EINVAL:
      return absl::UnavailableError(
          "this kernel's io_uring lacks what weir needs: Linux 6.1 or newer is required");
    default:
      return absl::UnavailableError(
          Cat("io_uring cannot be set up: ", std::string_view(std::strerror(error))));
  }
}

absl::StatusOr<std::unique_ptr<Uring>> Uring::Create(const Options& options, int event_fd) {
  std::unique_ptr<Uring> uring(new Uring);
  if (absl::Status status = uring->SetUp(options, event_fd); !status.ok()) return status;
  return uring;
}

absl::Status Uring::SetUp(const Options& options, int event_fd) {
  mask_ = options.mask;
  uint32_t completions = mask_.flood ? 32 : kCompletions;
  uint32_t submissions = mask_.flood ? 16 : kSubmissions;
  int error = 0;
  for (;;) {
    io_uring_params params{};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                   IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    params.cq_entries = completions;
    error = -io_uring_queue_init_params(submissions, &ring_, &params);
    if (error != ENOMEM || completions <= kCompletionsLeast) break;
    completions /= 2;
  }
  if (error != 0) return Explain(error);
  ring_ready_ = true;
  io_uring_register_ring_fd(&ring_);
  const uint32_t count = mask_.tiny_rings ? 8 : options.buffers;
  for (int group = 0; group < kBufferGroups; ++group) {
    if (absl::Status status = buffers_[group].Register(ring_, static_cast<uint16_t>(group), count);
        !status.ok()) {
      return status;
    }
  }
  if (mask_.flood) batch_max_ = 8;
  if (mask_.burst) batch_max_ = kCompletions;
  batch_.reserve(batch_max_);
  fast_wake_ = !mask_.no_fast_wake && KernelAtLeast(6, 11);
  zero_copy_ = !mask_.no_zero_copy && ProbeZeroCopy();
  event_fd_ = event_fd;
  if (event_fd_ >= 0) ArmEvent();
  return absl::OkStatus();
}

// Of one slice and of several: kernels 6.0 and 6.1.
bool Uring::ProbeZeroCopy() {
  io_uring_probe* probe = io_uring_get_probe_ring(&ring_);
  if (probe == nullptr) return false;
  const bool both = io_uring_opcode_supported(probe, IORING_OP_SEND_ZC) != 0 &&
                    io_uring_opcode_supported(probe, IORING_OP_SENDMSG_ZC) != 0;
  io_uring_free_probe(probe);
  return both;
}

Uring::~Uring() {
  if (!ring_ready_) return;
  for (BufferRing& buffers : buffers_) buffers.Unregister(ring_);
  io_uring_queue_exit(&ring_);
}

io_uring_sqe* Uring::Sqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {
    // The queue is full in the middle of a tick.
    io_uring_submit(&ring_);
    vectors_used_ = 0;
    sqe = io_uring_get_sqe(&ring_);
  }
  return sqe;
}

io_uring_sqe* Uring::Begin(Operation& operation, uint8_t kind) {
  operation.Begin(kind);
  return Sqe();
}

void Uring::ArmEvent() {
  io_uring_sqe* sqe = Sqe();
  io_uring_prep_read(sqe, event_fd_, &event_count_, sizeof event_count_, 0);
  io_uring_sqe_set_data64(sqe, kEvent);
}

absl::StatusOr<int> Uring::Listen(const Address& address, int backlog) {
  return OpenListener(address, backlog);
}

int Uring::OpenSocket(const Address& address) { return OpenClientSocket(address); }

void Uring::Accept(int listener, Operation& operation) {
  io_uring_sqe* sqe = Begin(operation, kAccept);
  io_uring_prep_accept(sqe, listener, nullptr, nullptr, SOCK_CLOEXEC);
  io_uring_sqe_set_data(sqe, &operation);
}

void Uring::Connect(int fd, const Address& address, Operation& operation) {
  io_uring_sqe* sqe = Begin(operation, kConnect);
  io_uring_prep_connect(sqe, fd, address.get(), address.length());
  io_uring_sqe_set_data(sqe, &operation);
}

void Uring::StartReceive(int fd, BufferGroup group, Operation& operation) {
  io_uring_sqe* sqe =
      Begin(operation, group == BufferGroup::kClients ? kReceiveClients : kReceiveBackends);
  if (mask_.one_shot_receive) {
    io_uring_prep_recv(sqe, fd, nullptr, 0, 0);
  } else {
    io_uring_prep_recv_multishot(sqe, fd, nullptr, 0, 0);
  }
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = static_cast<uint16_t>(group);
  io_uring_sqe_set_data(sqe, &operation);
}

void Uring::ReceiveInto(int fd, MutableBytes into, Operation& operation) {
  io_uring_sqe* sqe = Begin(operation, kReceiveInto);
  io_uring_prep_recv(sqe, fd, into.data(), into.size(), 0);
  io_uring_sqe_set_data(sqe, &operation);
}

void Uring::Send(int fd, std::span<const Slice> slices, Operation& operation) {
  CHECK(!slices.empty() && slices.size() <= kSlicesMax);
  io_uring_sqe* sqe = Begin(operation, kSend);
  if (slices.size() == 1) {
    io_uring_prep_send(sqe, fd, slices[0].data(), slices[0].length, MSG_NOSIGNAL);
  } else {
    io_uring_prep_sendmsg(sqe, fd, &Gather(slices), MSG_NOSIGNAL);
  }
  io_uring_sqe_set_data(sqe, &operation);
}

void Uring::SendZeroCopy(int fd, std::span<const Slice> slices, Operation& operation) {
  CHECK(zero_copy_ && !slices.empty() && slices.size() <= kSlicesMax);
  io_uring_sqe* sqe = Begin(operation, kSendZeroCopy);
  if (slices.size() == 1) {
    io_uring_prep_send_zc(sqe, fd, slices[0].data(), slices[0].length, MSG_NOSIGNAL, 0);
  } else {
    io_uring_prep_sendmsg_zc(sqe, fd, &Gather(slices), MSG_NOSIGNAL);
  }
  io_uring_sqe_set_data(sqe, &operation);
}

// Stable until it is submitted, which is all that the kernel asks for.
const msghdr& Uring::Gather(std::span<const Slice> slices) {
  if (vectors_used_ == vectors_.size()) vectors_.emplace_back();
  Vector& vector = vectors_[vectors_used_++];
  for (size_t i = 0; i < slices.size(); ++i) {
    vector.parts[i] = {const_cast<uint8_t*>(slices[i].data()), slices[i].length};
  }
  vector.header = {};
  vector.header.msg_iov = vector.parts;
  vector.header.msg_iovlen = slices.size();
  return vector.header;
}

void Uring::PollHangup(int fd, Operation& operation) {
  io_uring_sqe* sqe = Begin(operation, kPoll);
  // An error and a hang-up on both sides are always reported; data and half a close are not asked
  // for.
  io_uring_prep_poll_add(sqe, fd, 0);
  io_uring_sqe_set_data(sqe, &operation);
}

void Uring::Cancel(Operation& operation) {
  if (!operation.in_flight() || operation.cancelling()) return;
  operation.set_cancelling();
  io_uring_sqe* sqe = Sqe();
  io_uring_prep_cancel(sqe, &operation, 0);
  io_uring_sqe_set_data64(sqe, kIgnored);
}

std::string Uring::PeerHost(int fd) { return engine::PeerHost(fd); }

void Uring::Shutdown(int fd) { shutdown(fd, SHUT_WR); }

void Uring::Close(int fd) { close(fd); }

void Uring::Abort(int fd) {
  const linger none{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  close(fd);
}

void Uring::Wake(uint32_t shard) {
  CHECK(shard < peers_.size());
  if (!fast_wake_) {
    const uint64_t one = 1;
    // A full counter means that it is awake already.
    [[maybe_unused]] const ssize_t written = write(peers_[shard].event_fd, &one, sizeof one);
    return;
  }
  io_uring_sqe* sqe = Sqe();
  io_uring_prep_msg_ring(sqe, peers_[shard].ring_fd, 0, kWoken, 0);
  io_uring_sqe_set_data64(sqe, kIgnored);
}

void Uring::Tick(Nanos deadline, bool may_sleep) {
  for (BufferRing& buffers : buffers_) buffers.Publish();
  Enter(deadline, may_sleep && !leftover_);
  if (mask_.burst) Collect();
  now_ = MonotonicNow();
  vectors_used_ = 0;
  Harvest();
}

void Uring::Enter(Nanos deadline, bool may_sleep) {
  const Nanos now = may_sleep && deadline != kForever ? MonotonicNow() : 0;
  if (!may_sleep || deadline <= now) {
    io_uring_submit_and_get_events(&ring_);
    return;
  }
  io_uring_cqe* cqe = nullptr;
  if (deadline == kForever) {
    io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, nullptr, nullptr);
    return;
  }
  const Nanos left = deadline - now;
  __kernel_timespec timeout{left / kSecond, left % kSecond};
  io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &timeout, nullptr);
}

// Until the kernel has no more, or its queue is full.
void Uring::Collect() {
  for (unsigned ready = 0; io_uring_cq_ready(&ring_) > ready && ready < kCompletions;) {
    ready = io_uring_cq_ready(&ring_);
    io_uring_get_events(&ring_);
  }
}

void Uring::Harvest() {
  batch_.clear();
  unsigned head = 0;
  io_uring_cqe* cqe = nullptr;
  leftover_ = false;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    if (batch_.size() == batch_max_) {
      leftover_ = true;
      break;
    }
    batch_.push_back({cqe->user_data, cqe->res, cqe->flags});
  }
  io_uring_cq_advance(&ring_, static_cast<unsigned>(batch_.size()));
  ++counts().ticks;
  counts().completions += batch_.size();
  for (const Event& event : batch_) {
    if (event.data < kReserved) {
      if (event.data == kEvent && event.result != -ECANCELED) ArmEvent();
      continue;
    }
    Operation& operation = *reinterpret_cast<Operation*>(event.data);
    Completion completion{event.result, (event.flags & IORING_CQE_F_MORE) != 0, {}};
    if ((event.flags & IORING_CQE_F_BUFFER) != 0) {
      const int group = operation.kind() == kReceiveClients ? 0 : 1;
      const uint32_t length = event.result > 0 ? static_cast<uint32_t>(event.result) : 0;
      completion.bytes = buffers_[group].Take(
          static_cast<uint16_t>(event.flags >> IORING_CQE_BUFFER_SHIFT), length);
    }
    operation.Complete(completion);
  }
}

}  // namespace weir::engine
