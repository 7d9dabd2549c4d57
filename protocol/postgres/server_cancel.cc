#include "protocol/postgres/server_cancel.h"

#include "protocol/postgres/format.h"
#include "protocol/postgres/tls_request.h"
#include "protocol/wire/writer.h"

namespace weir::postgres {

using Next = protocol::ServerCancel::Next;

Next PostgresServerCancel::Start(std::string& out) {
  if (tls_ == protocol::TlsUse::kNever) return Send(out);
  AppendTlsRequest(out);
  asked_ = true;
  return Next::kReceive;
}

Next PostgresServerCancel::OnBytes(engine::Bytes in, std::string& out) {
  if (in.empty() || !asked_) return Next::kReceive;
  asked_ = false;
  switch (ReadTlsAnswer(in)) {
    case TlsAnswer::kYes:
      return Next::kStartTls;
    case TlsAnswer::kNo:
      return tls_ == protocol::TlsUse::kAlways ? Next::kFailed : Send(out);
    case TlsAnswer::kError:
    case TlsAnswer::kMalformed:
      break;
  }
  return Next::kFailed;
}

Next PostgresServerCancel::Send(std::string& out) {
  protocol::Writer writer(out);
  writer.Begin(0).U32(kCancelRequestCode).U32(process_id_).Raw(secret_);
  writer.End();
  return Next::kSent;
}

}  // namespace weir::postgres
