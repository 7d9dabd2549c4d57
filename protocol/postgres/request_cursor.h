// Where the client's half of an exchange stands in the bytes that it takes. Shared by its files.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "protocol/postgres/requests.h"

namespace weir::postgres {

// Type and length.
inline constexpr uint32_t kHeader = 5;

// Where Take stands in its bytes, the message there, and the run to forward that ends there.
struct PostgresRequests::Cursor {
  Bytes in;
  PostgresReplies* backend;
  bool yield;
  protocol::ExchangeSink& sink;
  protocol::Taken result;
  uint32_t position = 0;
  uint32_t begin = 0;
  uint8_t type = 0;
  uint32_t whole = 0;  // bytes of the message, header included

  uint32_t left() const { return static_cast<uint32_t>(in.size()) - position; }
  const uint8_t* data() const { return in.data() + position; }
  Verdict Judge(std::string_view text) const {
    return Scan(text, backend->lex_mode(), backend->catalogue());
  }
  uint64_t catalogue_number() const {
    const Catalogue* catalogue = backend->catalogue();
    return catalogue == nullptr ? 0 : catalogue->number;
  }
  bool complete() const { return left() >= whole; }
  std::string_view body() const {
    return engine::AsText(Bytes(data() + kHeader, std::min(whole, left()) - kHeader));
  }
  void Extend(uint32_t n) { position += n; }
  void FlushRun() {
    if (position > begin) sink.ForwardToServer(begin, position - begin);
    begin = position;
  }
  void Skip(uint32_t n) {
    FlushRun();
    position += n;
    begin = position;
  }
  void Insert(std::string_view bytes) {
    FlushRun();
    sink.InsertToServer(engine::AsBytes(bytes));
  }
};

}  // namespace weir::postgres
