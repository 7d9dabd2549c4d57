// Where the server's half of an exchange stands in the bytes that it takes. Shared by its files.
#pragma once

#include <cstdint>

#include "protocol/postgres/format.h"
#include "protocol/postgres/replies.h"

namespace weir::postgres {

// The messages whose bodies are read.
inline bool ReadWhole(uint8_t type) {
  return type == backend::kErrorResponse || type == backend::kParameterStatus ||
         type == backend::kReadyForQuery;
}

// Where Take stands in its bytes, and the run to forward that ends there.
struct PostgresReplies::Cursor {
  Bytes in;
  protocol::ExchangeSink& sink;
  uint32_t position = 0;
  uint32_t begin = 0;

  uint32_t left() const { return static_cast<uint32_t>(in.size()) - position; }
  const uint8_t* data() const { return in.data() + position; }
  void Extend(uint32_t n) { position += n; }
  void FlushRun() {
    if (position > begin) sink.ForwardToClient(begin, position - begin);
    begin = position;
  }
  void Skip(uint32_t n) {
    FlushRun();
    position += n;
    begin = position;
  }
  void DropRun() { begin = position; }
  void Insert(Bytes bytes) {
    FlushRun();
    sink.InsertToClient(bytes);
  }
};

}  // namespace weir::postgres
