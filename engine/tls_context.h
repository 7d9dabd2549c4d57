// What TLS connections are made from: certificates, authorities, rules. Immutable once loaded,
// shared by all shards, replaced as a whole at a reload.
//
// Versions below 1.2, renegotiation, compression, early data, ciphers without forward secrecy and
// keys that are too short are out. A connection keeps what it needs of its context, but for the
// keys of tickets: a context outlives the handshakes that it has begun.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/clock.h"
#include "engine/base/prng.h"
#include "engine/tls.h"

namespace weir::engine {

struct TlsServerOptions {
  struct Certificate {
    std::string certificate_file{};  // PEM; may hold the chain behind the certificate
    std::string key_file{};
  };
  // Chosen by the name that the client asks for: exact names, then wildcards; else the first.
  std::vector<Certificate> certificates{};
  std::string client_ca_file{};  // not empty: clients are asked for certificates
  bool client_certificate_required = false;
  bool only_newest = false;  // TLS 1.3
  std::string protocol{};    // the only one that a client may ask for (ALPN)
};

class TlsServerContext final : public TlsServer {
 public:
  // Errors name the file and what to do. `warnings`: what is not well, and works.
  static absl::StatusOr<std::unique_ptr<const TlsServerContext>> Load(
      const TlsServerOptions& options, Entropy& entropy, std::vector<std::string>& warnings);
  ~TlsServerContext() override;
  TlsServerContext(const TlsServerContext&) = delete;
  TlsServerContext& operator=(const TlsServerContext&) = delete;

  std::unique_ptr<Tls> NewConnection(bool direct, Nanos now) const override;

  struct Parts;
  explicit TlsServerContext(std::unique_ptr<Parts> parts);

 private:
  const std::unique_ptr<Parts> parts_;
};

struct TlsClientOptions {
  enum class Verify : uint8_t {
    kNone,
    kAuthority,  // a known authority has signed the certificate
    kName,       // ... and it is for `host`
  };
  Verify verify = Verify::kNone;
  std::string host{};              // a name or an address; a name is told to the server (SNI)
  std::string ca_file{};           // "system": the authorities of the distribution
  std::string certificate_file{};  // ours; empty: none
  std::string key_file{};
  std::string protocol{};  // that is asked for (ALPN); empty: none
};

class TlsClientContext final : public TlsClient {
 public:
  static absl::StatusOr<std::unique_ptr<const TlsClientContext>> Load(
      const TlsClientOptions& options, std::vector<std::string>& warnings);
  ~TlsClientContext() override;
  TlsClientContext(const TlsClientContext&) = delete;
  TlsClientContext& operator=(const TlsClientContext&) = delete;

  std::unique_ptr<Tls> NewConnection() const override;

  struct Parts;
  explicit TlsClientContext(std::unique_ptr<Parts> parts);

 private:
  const std::unique_ptr<Parts> parts_;
};

}  // namespace weir::engine
