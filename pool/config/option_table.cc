#include "pool/config/option_table.h"

namespace weir::pool {

std::span<const OptionInfo> AllOptions() {
  static constexpr OptionInfo kOptions[] = {
#define OPTION(section, name, type, fallback, least, greatest, live, help) \
  {#section,                                                               \
   #name,                                                                  \
   OptionType::k##type,                                                    \
   #fallback,                                                              \
   static_cast<double>(least),                                             \
   static_cast<double>(greatest),                                          \
   (live) != 0,                                                            \
   help},
#include "pool/config/options.def"
#undef OPTION
  };
  return kOptions;
}

}  // namespace weir::pool
