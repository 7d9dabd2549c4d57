// Two ends of TLS in memory: what one sends reaches the other in pieces of a given size.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "engine/tls.h"

namespace weir::engine {

struct TlsEnd final : TlsOutput {
  explicit TlsEnd(std::unique_ptr<Tls> its_tls) : tls(std::move(its_tls)) {}

  void OnCiphertext(Bytes bytes) override { sent += AsText(bytes); }
  void Take(std::string_view ciphertext) {
    Bytes in = AsBytes(ciphertext);
    for (;;) {
      uint8_t into[100];
      size_t length = 0;
      last = tls->Read(in, into, length, *this);
      received += AsText(Bytes(into, length));
      if (last == Tls::Status::kReady) ++readies;
      if (last == Tls::Status::kReady || last == Tls::Status::kData) continue;
      EXPECT_TRUE(last != Tls::Status::kMore || in.empty());
      return;
    }
  }
  void Write(std::string_view text) { tls->Write(AsBytes(text), *this); }

  std::unique_ptr<Tls> tls;
  std::string sent;      // and not yet taken by the other end
  std::string received;  // plaintext
  Tls::Status last = Tls::Status::kMore;
  int readies = 0;
};

// Until nothing is on the way any more, or an end has failed and its last words are told.
inline void Exchange(TlsEnd& a, TlsEnd& b, size_t piece = 1 << 20) {
  while (!a.sent.empty() || !b.sent.empty()) {
    for (auto [from, to] : {std::pair(&a, &b), std::pair(&b, &a)}) {
      const std::string bytes = std::exchange(from->sent, {});
      for (size_t at = 0; at < bytes.size(); at += piece)
        to->Take(std::string_view(bytes).substr(at, piece));
    }
  }
}
inline void Handshake(TlsEnd& client, TlsEnd& server, size_t piece = 1 << 20) {
  client.Take({});
  Exchange(client, server, piece);
}

}  // namespace weir::engine
