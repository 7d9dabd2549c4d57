#include "pool/session/tls_contexts.h"

#include <string>
#include <string_view>
#include <utility>

#include "engine/base/log.h"
#include "engine/base/text.h"
#include "engine/tls_context.h"

namespace weir::pool {

using engine::Cat;

namespace {

constexpr std::string_view kProtocol = "postgresql";  // in ALPN

absl::Status In(std::string_view section, const absl::Status& status) {
  return absl::InvalidArgumentError(
      Cat(section, ": ", std::string_view(std::string(status.message()))));
}

absl::Status LoadClients(const Config& config, engine::Entropy& entropy, TlsContexts& out,
                         std::vector<std::string>& warnings) {
  if (config.certificates.empty()) return absl::OkStatus();
  engine::TlsServerOptions options;
  for (const CertificateOptions& each : config.certificates)
    options.certificates.push_back({each.certificate_file, each.key_file});
  options.client_ca_file = config.client_tls.client_ca_file;
  options.client_certificate_required = config.client_tls.client_certificate == "required";
  options.only_newest = config.client_tls.minimum_version == "TLSv1.3";
  options.protocol = kProtocol;
  auto context = engine::TlsServerContext::Load(options, entropy, warnings);
  if (!context.ok()) return In("[[certificate]], [client_tls]", context.status());
  out.clients = *std::move(context);
  return absl::OkStatus();
}

absl::Status LoadTarget(const TargetOptions& target, TlsContexts::Target& out,
                        std::vector<std::string>& warnings) {
  using Verify = engine::TlsClientOptions::Verify;
  // A unix socket leads to this machine.
  if (target.tls_mode == "disable" || target.host.starts_with("unix:")) return absl::OkStatus();
  engine::TlsClientOptions options;
  options.host = target.host;
  options.verify = target.tls_mode == "verify-full" ? Verify::kName
                   : target.tls_mode == "verify-ca" ? Verify::kAuthority
                                                    : Verify::kNone;
  options.ca_file = target.tls_ca_file;
  options.certificate_file = target.tls_certificate_file;
  options.key_file = target.tls_key_file;
  options.protocol = kProtocol;
  auto context = engine::TlsClientContext::Load(options, warnings);
  if (!context.ok()) return In("[[target]]", context.status());
  out.context = *std::move(context);
  out.use = target.tls_mode == "prefer" ? protocol::TlsUse::kIfOffered : protocol::TlsUse::kAlways;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<const TlsContexts>> TlsContexts::Load(const Config& config,
                                                                     engine::Entropy& entropy) {
  auto contexts = std::make_unique<TlsContexts>();
  std::vector<std::string> warnings;
  if (absl::Status status = LoadClients(config, entropy, *contexts, warnings); !status.ok())
    return status;
  for (const TargetOptions& target : config.targets) {
    if (absl::Status status = LoadTarget(target, contexts->targets.emplace_back(), warnings);
        !status.ok())
      return status;
  }
  for (const std::string& warning : warnings) engine::Log(engine::LogLevel::kWarn, warning);
  return contexts;
}

protocol::TransportFacts TransportOf(const engine::Stream& stream) {
  protocol::TransportFacts facts;
  if (stream.tls() == nullptr) return facts;
  engine::TlsFacts tls = stream.tls()->Facts();
  facts.encrypted = true;
  facts.endpoint_binding = std::move(tls.endpoint_binding);
  facts.peer_names = std::move(tls.peer_names);
  return facts;
}

}  // namespace weir::pool
