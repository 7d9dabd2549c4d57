// The configuration: an immutable snapshot of the TOML file, one member per option of options.def.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/clock.h"
#include "pool/config/access.h"

namespace weir::pool {

// What the types of options.def are here.
namespace option {
using Bool = bool;
using Text = std::string;
using Texts = std::vector<std::string>;
using Names = std::vector<std::string>;  // one text, or several
using Seconds = engine::Nanos;           // seconds in the file, nanoseconds here
using Count = int64_t;
using Bytes = uint64_t;
using BytesOrOff = uint64_t;  // 0: off
}  // namespace option

// Each section takes its own rows of the table.
#define OPTION(section, ...) OPTION_##section(__VA_ARGS__)
#define OPTION_MEMBER(name, type, ...) option::type name{};
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
#define OPTION_proxy(...) OPTION_MEMBER(__VA_ARGS__)
struct ProxyOptions {
#include "pool/config/options.def"
};
#undef OPTION_proxy
#define OPTION_proxy(...)

#undef OPTION_connection_pool
#define OPTION_connection_pool(...) OPTION_MEMBER(__VA_ARGS__)
struct ConnectionPoolOptions {
#include "pool/config/options.def"
};
#undef OPTION_connection_pool
#define OPTION_connection_pool(...)

#undef OPTION_endpoint
#define OPTION_endpoint(...) OPTION_MEMBER(__VA_ARGS__)
struct EndpointOptions {
#include "pool/config/options.def"
};
#undef OPTION_endpoint
#define OPTION_endpoint(...)

#undef OPTION_target
#define OPTION_target(...) OPTION_MEMBER(__VA_ARGS__)
struct TargetOptions {
#include "pool/config/options.def"
};
#undef OPTION_target
#define OPTION_target(...)

#undef OPTION_certificate
#define OPTION_certificate(...) OPTION_MEMBER(__VA_ARGS__)
struct CertificateOptions {
#include "pool/config/options.def"
};
#undef OPTION_certificate
#define OPTION_certificate(...)

#undef OPTION_client_tls
#define OPTION_client_tls(...) OPTION_MEMBER(__VA_ARGS__)
struct ClientTlsOptions {
#include "pool/config/options.def"
};
#undef OPTION_client_tls
#define OPTION_client_tls(...)

#undef OPTION_auth
#define OPTION_auth(...) OPTION_MEMBER(__VA_ARGS__)
struct AuthOptions {
#include "pool/config/options.def"
};
#undef OPTION_auth
#define OPTION_auth(...)

#undef OPTION_access
#define OPTION_access(...) OPTION_MEMBER(__VA_ARGS__)
struct AccessOptions {
#include "pool/config/options.def"
};
#undef OPTION_access
#define OPTION_access(...)

#undef OPTION_iam
#define OPTION_iam(...) OPTION_MEMBER(__VA_ARGS__)
struct IamOptions {
#include "pool/config/options.def"
};
#undef OPTION_iam
#define OPTION_iam(...)

#undef OPTION_iam_principal
#define OPTION_iam_principal(...) OPTION_MEMBER(__VA_ARGS__)
struct IamPrincipalOptions {
#include "pool/config/options.def"
};
#undef OPTION_iam_principal
#define OPTION_iam_principal(...)

#undef OPTION_aws
#define OPTION_aws(...) OPTION_MEMBER(__VA_ARGS__)
struct AwsOptions {
#include "pool/config/options.def"
};
#undef OPTION_aws
#define OPTION_aws(...)

#undef OPTION_engine
#define OPTION_engine(...) OPTION_MEMBER(__VA_ARGS__)
struct EngineOptions {
#include "pool/config/options.def"
};
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
#undef OPTION_MEMBER
#undef OPTION

struct Config {
  std::string file;  // absolute
  ProxyOptions proxy;
  ConnectionPoolOptions connection_pool;
  std::vector<EndpointOptions> endpoints;
  std::vector<TargetOptions> targets;
  std::vector<CertificateOptions> certificates;  // none: no TLS for clients
  ClientTlsOptions client_tls;
  std::vector<AuthOptions> auths;
  std::vector<AccessOptions> access;
  IamOptions iam;
  std::vector<IamPrincipalOptions> iam_principals;
  AwsOptions aws;
  EngineOptions engine;
  AccessRules access_rules;                          // made of [[access]] or access_file
  std::map<std::string, size_t, std::less<>> users;  // of whom the n-th [[auth]] is

  const AuthOptions* AuthOf(std::string_view user) const {
    const auto found = users.find(user);
    return found == users.end() ? nullptr : &auths[found->second];
  }
};

}  // namespace weir::pool
