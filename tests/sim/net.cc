#include "tests/sim/net.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "engine/base/check.h"

namespace weir::sim {
namespace {

constexpr size_t kNotes = 60;

}  // namespace

Net::Net(uint64_t seed, const NetOptions& options) : prng_(seed), options_(options) {}

Nanos Net::Between(Nanos low, Nanos high) {
  return low + static_cast<Nanos>(prng_.Below(static_cast<uint64_t>(high - low) + 1));
}

void Net::At(Nanos when, std::function<void()> what) {
  uint32_t place = static_cast<uint32_t>(actions_.size());
  if (free_actions_.empty()) {
    actions_.push_back(std::move(what));
  } else {
    place = free_actions_.back();
    free_actions_.pop_back();
    actions_[place] = std::move(what);
  }
  events_.push({std::max(when, now_), ++order_, place});
}

void Net::RunEvent() {
  const Event event = events_.top();
  events_.pop();
  CHECK(event.when <= now_);
  ++events_run_;
  const std::function<void()> what = std::move(actions_[event.place]);
  free_actions_.push_back(event.place);
  what();
}

void Net::Note(std::string line) {
  char time[32];
  std::snprintf(time, sizeof time, "%12.6f ", static_cast<double>(now_) / 1e9);
  if (aloud_) std::fprintf(stderr, "%s%s\n", time, line.c_str());
  notes_.push_back(time + std::move(line));
  if (notes_.size() > kNotes) notes_.pop_front();
}

void Net::Change(End& end) {
  if (end.party_ == nullptr || end.told_) return;
  end.told_ = true;
  At(now_, [&end] {
    end.told_ = false;
    if (end.party_ != nullptr) end.party_->OnChange(end);
  });
}

// When something sent to this end now gets there: behind all that was sent before.
Nanos Net::ArrivalAt(End& end) {
  Nanos latency = Between(options_.latency_min, options_.latency_max);
  if (Chance(options_.straggle)) latency *= 100;
  end.last_arrival_ = std::max(end.last_arrival_, now_ + latency);
  return end.last_arrival_;
}

void Net::Listen(const std::string& address, Acceptor acceptor) {
  acceptors_[address] = std::move(acceptor);
}

void Net::SetSilent(const std::string& address, bool silent) { silent_[address] = silent; }

End& Net::Connect(const std::string& address, Party& party) {
  End& ours = ends_.emplace_back();
  End& theirs = ends_.emplace_back();
  ours.peer_ = &theirs;
  theirs.peer_ = &ours;
  ours.party_ = &party;
  At(ArrivalAt(theirs), [this, address, &ours, &theirs] {
    if (ours.closed || silent_[address]) return;
    Acceptor& acceptor = acceptors_[address];
    theirs.connected = true;
    if (acceptor == nullptr || !acceptor(theirs)) {
      theirs.connected = false;
      At(ArrivalAt(ours), [this, &ours] {
        ours.refused = ECONNREFUSED;
        Change(ours);
      });
      return;
    }
    At(ArrivalAt(ours), [this, &ours] {
      ours.connected = true;
      Change(ours);
    });
  });
  return ours;
}

uint32_t Net::Room(const End& end) const {
  if (!end.connected || end.shut || end.closed || end.reset) return 0;
  const uint64_t used = end.peer_->inbox.size() + end.peer_->travelling_;
  return used >= options_.window ? 0 : static_cast<uint32_t>(options_.window - used);
}

uint32_t Net::Write(End& end, std::string_view bytes) {
  uint32_t count = std::min(Room(end), static_cast<uint32_t>(bytes.size()));
  if (count > 1 && Chance(options_.cut)) count = 1 + static_cast<uint32_t>(prng_.Below(count));
  if (count == 0) return 0;
  End& to = *end.peer_;
  to.travelling_ += count;
  At(ArrivalAt(to), [this, &to, &end, data = std::string(bytes.substr(0, count))] {
    to.travelling_ -= static_cast<uint32_t>(data.size());
    if (to.reset || end.reset) return;
    if (to.closed) {
      // Nobody is there any more.
      BreakBoth(end);
      return;
    }
    to.inbox += data;
    Change(to);
  });
  return count;
}

std::string Net::Read(End& end, size_t most) {
  size_t count = std::min(most, end.inbox.size());
  if (count > 1 && Chance(options_.cut)) count = 1 + prng_.Below(count);
  std::string bytes = end.inbox.substr(0, count);
  end.inbox.erase(0, count);
  Change(*end.peer_);
  return bytes;
}

void Net::Shutdown(End& end) {
  if (end.shut || end.closed || end.reset) return;
  end.shut = true;
  End& to = *end.peer_;
  At(ArrivalAt(to), [this, &to] {
    to.fin = true;
    Change(to);
  });
}

void Net::Close(End& end) {
  if (end.closed) return;
  const bool unread = !end.inbox.empty() && end.connected;
  if (!unread) Shutdown(end);
  end.closed = true;
  end.party_ = nullptr;
  if (unread && !end.reset) BreakBoth(end);
}

void Net::Reset(End& end) {
  BreakBoth(end);
  end.closed = true;
  end.party_ = nullptr;
}

void Net::BreakBoth(End& end) {
  for (End* each : {&end, end.peer_}) {
    if (each->reset) continue;
    // The news may overtake bytes, which are then lost.
    At(now_ + Between(options_.latency_min, options_.latency_max), [this, each] {
      each->reset = true;
      Change(*each);
    });
  }
}

}  // namespace weir::sim
