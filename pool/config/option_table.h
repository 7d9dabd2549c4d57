// Rows of options.def at run time: for loading, --help and the reference.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "pool/config/config.h"

namespace weir::pool {

enum class OptionType : uint8_t {
  kBool,
  kText,
  kTexts,
  kNames,
  kSeconds,
  kCount,
  kBytes,
  kBytesOrOff
};

struct OptionInfo {
  std::string_view section;
  std::string_view name;
  OptionType type;
  std::string_view default_toml;
  double least;
  double greatest;
  bool live;
  std::string_view help;
};

std::span<const OptionInfo> AllOptions();

// Calls visit(info, member) for each option of the section, in the order of the table.
#define OPTION(section, ...) OPTION_##section(__VA_ARGS__)
#define OPTION_VISIT(name, type, fallback, least, greatest, live, help)                         \
  visit(OptionInfo{kSection, #name, OptionType::k##type, #fallback, static_cast<double>(least), \
                   static_cast<double>(greatest), (live) != 0, help},                           \
        options.name);
#define OPTION_proxy(...)
#define OPTION_connection_pool(...)
#define OPTION_endpoint(...)
#define OPTION_target(...)
#define OPTION_certificate(...)
#define OPTION_client_tls(...)
#define OPTION_auth(...)
#define OPTION_access(...)
#define OPTION_iam(...)
#define OPTION_iam_principal(...)
#define OPTION_aws(...)
#define OPTION_engine(...)

#undef OPTION_proxy
#define OPTION_proxy(...) OPTION_VISIT(__VA_ARGS__)
template <class Options, class Visit>
requires std::same_as<std::remove_const_t<Options>, ProxyOptions>
void VisitOptions(Options& options, Visit&& visit) {
  constexpr std::string_view kSection = "proxy";
#include "pool/config/options.def"
}
#undef OPTION_proxy
#define OPTION_proxy(...)

#undef OPTION_connection_pool
#define OPTION_connection_pool(...) OPTION_VISIT(__VA_ARGS__)
template <class Options, class Visit>
requires std::same_as<std::remove_const_t<Options>, ConnectionPoolOptions>
void VisitOptions(Options& options, Visit&& visit) {
  constexpr std::string_view kSection = "connection_pool";
#include "pool/config/options.def"
}
#undef OPTION_connection_pool
#define OPTION_connection_pool(...)

#undef OPTION_endpoint
#define OPTION_endpoint(...) OPTION_VISIT(__VA_ARGS__)
template <class Options, class Visit>
requires std::same_as<std::remove_const_t<Options>, EndpointOptions>
void VisitOptions(Options& options, Visit&& visit) {
  constexpr std::string_view kSection = "endpoint";
#include "pool/config/options.def"
}
#undef OPTION_endpoint
#define OPTION_endpoint(...)

#undef OPTION_target
#define OPTION_target(...) OPTION_VISIT(__VA_ARGS__)
template <class Options, class Visit>
requires std::same_as<std::remove_const_t<Options>, TargetOptions>
void VisitOptions(Options& options, Visit&& visit) {
  constexpr std::string_view kSection = "target";
#include "pool/config/options.def"
}
#undef OPTION_target
#define OPTION_target(...)

#undef OPTION_certificate
#define OPTION_certificate(...) OPTION_VISIT(__VA_ARGS__)
template <class Options, class Visit>
requires std::same_as<std::remove_const_t<Options>, CertificateOptions>
void VisitOptions(Options& options, Visit&& visit) {
  constexpr std::string_view kSection = "certificate";
#include "pool/config/options.def"
}
#undef OPTION_certificate
#define OPTION_certificate(...)

#undef OPTION_client_tls
#define OPTION_client_tls(...) OPTION_VISIT(__VA_ARGS__)
template <class Options, class Visit>
requires std::same_as<std::remove_const_t<Options>, ClientTlsOptions>
void VisitOptions(Options& options, Visit&& visit) {
  constexpr std::string_view kSection = "client_tls";
#include "pool/config/options.def"
}
#undef OPTION_client_tls
#define OPTION_client_tls(...)

#undef OPTION_auth
#define OPTION_auth(...) OPTION_VISIT(__VA_ARGS__)
template <class Options, class Visit>
requires std::same_as<std::remove_const_t<Options>, AuthOptions>
void VisitOptions(Options& options, Visit&& visit) {
  constexpr std::string_view kSection = "auth";
#include "pool/config/options.def"
}
#undef OPTION_auth
#define OPTION_auth(...)

#undef OPTION_access
#define OPTION_access(...) OPTION_VISIT(__VA_ARGS__)
template <class Options, class Visit>
requires std::same_as<std::remove_const_t<Options>, AccessOptions>
void VisitOptions(Options& options, Visit&& visit) {
  constexpr std::string_view kSection = "access";
#include "pool/config/options.def"
}
#undef OPTION_access
#define OPTION_access(...)

#undef OPTION_iam
#define OPTION_iam(...) OPTION_VISIT(__VA_ARGS__)
template <class Options, class Visit>
requires std::same_as<std::remove_const_t<Options>, IamOptions>
void VisitOptions(Options& options, Visit&& visit) {
  constexpr std::string_view kSection = "iam";
#include "pool/config/options.def"
}
#undef OPTION_iam
#define OPTION_iam(...)

#undef OPTION_iam_principal
#define OPTION_iam_principal(...) OPTION_VISIT(__VA_ARGS__)
template <class Options, class Visit>
requires std::same_as<std::remove_const_t<Options>, IamPrincipalOptions>
void VisitOptions(Options& options, Visit&& visit) {
  constexpr std::string_view kSection = "iam.principal";
#include "pool/config/options.def"
}
#undef OPTION_iam_principal
#define OPTION_iam_principal(...)

#undef OPTION_aws
#define OPTION_aws(...) OPTION_VISIT(__VA_ARGS__)
template <class Options, class Visit>
requires std::same_as<std::remove_const_t<Options>, AwsOptions>
void VisitOptions(Options& options, Visit&& visit) {
  constexpr std::string_view kSection = "aws";
#include "pool/config/options.def"
}
#undef OPTION_aws
#define OPTION_aws(...)

#undef OPTION_engine
#define OPTION_engine(...) OPTION_VISIT(__VA_ARGS__)
template <class Options, class Visit>
requires std::same_as<std::remove_const_t<Options>, EngineOptions>
void VisitOptions(Options& options, Visit&& visit) {
  constexpr std::string_view kSection = "engine";
#include "pool/config/options.def"
}
#undef OPTION_engine
#define OPTION_engine(...)

#undef OPTION_proxy
#undef OPTION_connection_pool
#undef OPTION_endpoint
#undef OPTION_target
#undef OPTION_certificate
#undef OPTION_client_tls
#undef OPTION_auth
#undef OPTION_access
#undef OPTION_iam
#undef OPTION_iam_principal
#undef OPTION_aws
#undef OPTION_engine
#undef OPTION_VISIT
#undef OPTION

}  // namespace weir::pool
