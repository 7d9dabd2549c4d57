// weir asks a server for TLS: SSLRequest and its answer. (PostgreSQL protocol 3.0, "SSL Session
// Encryption".)
#pragma once

#include <cstdint>
#include <string>

#include "engine/base/bytes.h"
#include "protocol/postgres/format.h"
#include "protocol/wire/writer.h"

namespace weir::postgres {

enum class TlsAnswer : uint8_t { kYes, kNo, kError, kMalformed };

inline void AppendTlsRequest(std::string& out) {
  protocol::Writer writer(out);
  writer.Begin(0).U32(kSslRequestCode);
  writer.End();
}

// `in`: all that has come behind the request; not empty. What comes with the letter came in the
// clear, from whomever: nobody may take it for a part of what follows.
inline TlsAnswer ReadTlsAnswer(engine::Bytes in) {
  if (in[0] == 'E') return TlsAnswer::kError;
  if (in.size() > 1) return TlsAnswer::kMalformed;
  return in[0] == 'S' ? TlsAnswer::kYes : in[0] == 'N' ? TlsAnswer::kNo : TlsAnswer::kMalformed;
}

}  // namespace weir::postgres
