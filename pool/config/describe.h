// Texts made from the table of options: --help, the list of what is in force, what a reload cannot
// change.
#pragma once

#include <string>
#include <vector>

#include "pool/config/config.h"

namespace weir::pool {

std::string OptionsHelp();
// "section.name" of options that differ and need a restart.
std::vector<std::string> NeedRestart(const Config& before, const Config& after);

}  // namespace weir::pool
