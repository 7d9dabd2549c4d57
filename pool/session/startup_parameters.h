// The startup parameters of a client as one text that is part of its route: equal sets give equal
// texts.
#pragma once

#include <string>
#include <string_view>

#include "protocol/dialect.h"

namespace weir::pool {

std::string ToCanonical(const protocol::Parameters& parameters);
protocol::Parameters FromCanonical(std::string_view text);

}  // namespace weir::pool
