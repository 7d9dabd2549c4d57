// Messages that weir writes itself, and the fields of an ErrorResponse.
#pragma once

#include <string>
#include <string_view>

#include "protocol/dialect.h"

namespace weir::postgres {

std::string EncodeError(std::string_view severity, std::string_view sqlstate,
                        std::string_view message);
// The same error with another severity.
std::string WithSeverity(std::string_view message, std::string_view severity);
// A field of an ErrorResponse's or NoticeResponse's body ("Error and Notice Message Fields"); empty
// if it has none.
std::string_view ErrorField(std::string_view body, char field);
void AppendParameterStatus(std::string& out, std::string_view name, std::string_view value);

}  // namespace weir::postgres
