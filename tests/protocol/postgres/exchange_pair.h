// A client's half and a backend's half of the exchange, joined by a wire that a test looks at, and
// the messages that they are driven with: in every split of the same bytes.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "protocol/postgres/replies.h"
#include "protocol/postgres/requests.h"

namespace weir::postgres {

using protocol::ReplyStatus;
using protocol::Taken;
using protocol::TakeStatus;
using protocol::TransactionStatus;

inline std::string Message(char type, std::string_view body) {
  std::string out(1, type);
  const uint32_t length = static_cast<uint32_t>(body.size()) + 4;
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(length >> shift));
  return out.append(body);
}

inline std::string Z(std::string_view text) { return std::string(text) + '\0'; }
inline std::string Query(std::string_view sql) { return Message('Q', Z(sql)); }
inline std::string Parse(std::string_view name, std::string_view sql) {
  return Message('P', Z(name) + Z(sql) + std::string(2, '\0'));
}
inline std::string Bind(std::string_view name) {
  return Message('B', Z("") + Z(name) + std::string(6, '\0'));
}
inline std::string Describe(std::string_view name) { return Message('D', "S" + Z(name)); }
inline std::string Close(std::string_view name) { return Message('C', "S" + Z(name)); }
inline std::string Execute() { return Message('E', Z("") + std::string(4, '\0')); }
inline std::string Sync() { return Message('S', ""); }
inline std::string Ready(char status) { return Message('Z', std::string(1, status)); }
inline std::string Complete(std::string_view tag) { return Message('C', Z(tag)); }
inline std::string Row(std::string_view value) { return Message('D', value); }
inline std::string Error(std::string_view severity, std::string_view code, std::string_view text) {
  return Message('E', "S" + Z(severity) + "V" + Z(severity) + "C" + Z(code) + "M" + Z(text) +
                          std::string(1, '\0'));
}
inline std::string Own() {  // what a statement of weir's own is answered with
  return Message('1', "") + Message('2', "") + Complete("X") + Message('3', "");
}

// A row of these values; no value: NULL.
inline std::string Nullable(std::span<const std::optional<std::string>> values) {
  std::string body(1, '\0');
  body.push_back(static_cast<char>(values.size()));
  for (const std::optional<std::string>& each : values) {
    if (each.has_value()) {
      body.append(3, '\0').push_back(static_cast<char>(each->size()));
      body += *each;
    } else {
      body.append(4, '\xff');
    }
  }
  return Message('D', body);
}
inline std::string Values(const std::vector<std::string>& values) {
  return Nullable(std::vector<std::optional<std::string>>(values.begin(), values.end()));
}

// How the server answers a statement of weir's own, with a Sync of its own.
inline std::string OwnReply(const std::string& row, const std::string& reports = "") {
  return Message('1', "") + Message('2', "") + row + Complete("SELECT 1") + Message('3', "") +
         reports + Ready('I');
}

// Collects what the exchange forwards and inserts, in order.
class Wire final : public protocol::ExchangeSink {
 public:
  void ForwardToServer(uint32_t offset, uint32_t length) override {
    server += input.substr(offset, length);
  }
  void InsertToServer(engine::Bytes bytes) override { server += engine::AsText(bytes); }
  void ForwardToClient(uint32_t offset, uint32_t length) override {
    client += input.substr(offset, length);
  }
  void InsertToClient(engine::Bytes bytes) override { client += engine::AsText(bytes); }
  std::string TakeServer() { return std::exchange(server, {}); }
  std::string TakeClient() { return std::exchange(client, {}); }

  std::string input;
  std::string server;
  std::string client;
};

// One client and one backend; bytes arrive in pieces of at most `piece`.
class Pair {
 public:
  explicit Pair(RequestsContext& context, size_t piece = 1 << 20)
      : piece_(piece), requests(context) {}

  void Join(PostgresReplies& backend) {
    replies = &backend;
    replies->Join(requests);
  }
  void Part() {
    replies->Part();
    replies = nullptr;
  }

  Taken Client(std::string_view bytes, bool yield = false) {
    Taken taken;
    while (!bytes.empty()) {
      held += bytes.substr(0, piece_);
      bytes.remove_prefix(std::min(piece_, bytes.size()));
      taken = Pump(yield);
    }
    return taken;
  }
  Taken Pump(bool yield = false) {
    Taken taken;
    do {
      wire.input = held;
      taken = requests.Take(engine::AsBytes(wire.input), replies, yield, wire);
      held.erase(0, taken.consumed);
      if (replies != nullptr) replies->Flush(wire);
    } while (taken.consumed > 0 && taken.status == TakeStatus::kMore && taken.need <= held.size());
    return taken;
  }
  ReplyStatus Server(std::string_view bytes) {
    ReplyStatus status = ReplyStatus::kOk;
    while (!bytes.empty()) {
      wire.input = std::string(bytes.substr(0, piece_));
      bytes.remove_prefix(std::min(piece_, bytes.size()));
      status = replies->Take(engine::AsBytes(wire.input), wire);
      if (status != ReplyStatus::kOk) return status;
    }
    return status;
  }

  const size_t piece_;
  PostgresRequests requests;
  PostgresReplies* replies = nullptr;
  Wire wire;
  std::string held;
};

class ExchangeTest : public testing::TestWithParam<size_t> {
 protected:
  StatementTable table_;
  RequestsContext context_{table_};
  PostgresReplies backend_;
  Pair pair_{context_, GetParam()};
};

inline constexpr size_t kSplits[] = {1, 2, 3, 4, 5, 6, 7, 11, 64, 1 << 20};

}  // namespace weir::postgres
