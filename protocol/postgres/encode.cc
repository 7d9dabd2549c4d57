#include "protocol/postgres/encode.h"

#include <algorithm>
#include <cstdint>

#include "protocol/postgres/format.h"
#include "protocol/wire/writer.h"

namespace weir::postgres {

using protocol::Writer;

std::string EncodeError(std::string_view severity, std::string_view sqlstate,
                        std::string_view message) {
  std::string out;
  Writer writer(out);
  writer.Begin(backend::kErrorResponse);
  writer.U8('S').CString(severity).U8('V').CString(severity);
  writer.U8('C').CString(sqlstate).U8('M').CString(message).U8(0);
  writer.End();
  return out;
}

std::string_view ErrorField(std::string_view body, char field) {
  while (!body.empty() && body.front() != '\0') {
    const size_t end = body.find('\0', 1);
    if (end == std::string_view::npos) return {};
    if (body.front() == field) return body.substr(1, end - 1);
    body.remove_prefix(end + 1);
  }
  return {};
}

std::string WithSeverity(std::string_view message, std::string_view severity) {
  std::string out;
  Writer writer(out);
  writer.Begin(backend::kErrorResponse);
  std::string_view body = message.substr(std::min<size_t>(message.size(), 5));
  while (!body.empty() && body.front() != '\0') {
    const size_t end = body.find('\0', 1);
    if (end == std::string_view::npos) break;
    const bool is_severity = body.front() == 'S' || body.front() == 'V';
    writer.U8(static_cast<uint8_t>(body.front()))
        .CString(is_severity ? severity : body.substr(1, end - 1));
    body.remove_prefix(end + 1);
  }
  writer.U8(0);
  writer.End();
  return out;
}

void AppendParameterStatus(std::string& out, std::string_view name, std::string_view value) {
  Writer writer(out);
  writer.Begin(backend::kParameterStatus).CString(name).CString(value);
  writer.End();
}

}  // namespace weir::postgres
