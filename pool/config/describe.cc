#include "pool/config/describe.h"

#include "engine/base/text.h"
#include "pool/config/option_table.h"

namespace weir::pool {

std::string OptionsHelp() {
  std::string out;
  std::string_view section;
  for (const OptionInfo& info : AllOptions()) {
    const std::string_view its = info.section == "iam_principal" ? "iam.principal" : info.section;
    if (its != section) {
      section = its;
      const bool many = section == "endpoint" || section == "target" || section == "certificate" ||
                        section == "auth" || section == "access" || section == "iam.principal";
      engine::Append(out, "\n", many ? "[[" : "[", section, many ? "]]" : "]", "\n");
    }
    std::string_view fallback = info.default_toml == "-1" ? "(see help)" : info.default_toml;
    engine::Append(
        out, "  ", info.name, " = ", fallback,
        std::string(
            info.name.size() + fallback.size() < 44 ? 44 - info.name.size() - fallback.size() : 1,
            ' '),
        info.help, info.live ? "" : " (restart)", "\n");
  }
  return out;
}

namespace {

template <class Options>
void Compare(const Options& before, const Options& after, std::vector<std::string>& out) {
  VisitOptions(before, [&](const OptionInfo& info, const auto& old_value) {
    VisitOptions(after, [&](const OptionInfo& other, const auto& new_value) {
      if (other.name != info.name || info.live) return;
      if constexpr (std::is_same_v<decltype(old_value), decltype(new_value)>) {
        if (!(old_value == new_value)) out.push_back(engine::Cat(info.section, ".", info.name));
      }
    });
  });
}

template <class Options>
void CompareAll(const std::vector<Options>& before, const std::vector<Options>& after,
                std::string_view section, std::vector<std::string>& out) {
  if (before.size() != after.size()) {
    out.push_back(engine::Cat("the number of [[", section, "]]"));
    return;
  }
  for (size_t i = 0; i < before.size(); ++i) Compare(before[i], after[i], out);
}

}  // namespace

std::vector<std::string> NeedRestart(const Config& before, const Config& after) {
  std::vector<std::string> out;
  Compare(before.proxy, after.proxy, out);
  Compare(before.connection_pool, after.connection_pool, out);
  Compare(before.client_tls, after.client_tls, out);
  Compare(before.engine, after.engine, out);
  CompareAll(before.endpoints, after.endpoints, "endpoint", out);
  CompareAll(before.targets, after.targets, "target", out);
  return out;
}

}  // namespace weir::pool
