// Reads that are in flight together with others, as sessions know them: what is kept to send one
// again, and what a shard has learned about their kinds.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"
#include "pool/core/distance.h"
#include "pool/core/read_history.h"
#include "protocol/dialect.h"

namespace weir::pool {

// Why a read is sent again, to another backend.
enum class Repeat : uint8_t {
  kSlow,    // the one ahead takes longer than its kind usually does, or returns more
  kReader,  // ... or its client does not take its reply
  kCancel,  // ... or is cancelled
  kLost,    // the backend is lost
};

// One of a client's, in flight.
struct ClientRead {
  std::vector<uint8_t> bytes;  // to send it again
};

// What one knows of a read before it is sent.
struct ReadTicket {
  uint64_t kind = 0;
  engine::Nanos cost = 0;  // what it is expected to take
  uint64_t reading = 0;    // of the catalogue by which it is judged
  bool joins = false;      // others may be in flight with it
};

// One shard's.
class Reads {
 public:
  std::unique_ptr<ClientRead> New(engine::Bytes request) {
    std::unique_ptr<ClientRead> read;
    if (free_.empty()) {
      read = std::make_unique<ClientRead>();
    } else {
      read = std::move(free_.back());
      free_.pop_back();
    }
    read->bytes.assign(request.begin(), request.end());
    return read;
  }
  void Free(std::unique_ptr<ClientRead> read) {
    if (free_.size() < kFreeMax) free_.push_back(std::move(read));
  }

  // Sending again costs the server work that it may just be short of: only so many.
  void Earn() { credit_ = std::min(credit_ + 1, kCreditMax); }
  bool Pay(size_t repeats) {
    const uint64_t price = repeats * kReadsPerRepeat;
    if (credit_ < price) return false;
    credit_ -= price;
    return true;
  }

  // A read of a kind that is usually quick has been at the head of its backend for so long.
  void ObserveHead(engine::Nanos took) {
    if (head_ == 0) head_ = took;
    head_ += (std::min(took, 4 * head_) - head_) / 64;
  }
  // Far longer than they are there now: on a machine that is short of CPU all take long at times.
  engine::Nanos LongHead() const { return 32 * head_; }

  ReadHistory history{engine::kMillisecond / 2};  // the configuration's comes with it
  DistanceEstimate distance;

 private:
  static constexpr size_t kFreeMax = 1024;
  static constexpr uint64_t kReadsPerRepeat = 16;
  static constexpr uint64_t kCreditMax = 4096;

  std::vector<std::unique_ptr<ClientRead>> free_;
  engine::Nanos head_ = 0;  // what heads take: a mean to which none counts for more than 4 of it
  uint64_t credit_ = kCreditMax;
};

}  // namespace weir::pool
