// What a stream has only if it is encrypted.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/intrusive_list.h"
#include "engine/held_bytes.h"
#include "engine/stream.h"
#include "engine/tls.h"

namespace weir::engine {

// The front of the stream's queue, up to `sealed`, leaves as it is: ciphertext, and what was queued
// before there was TLS. The rest is plaintext, in its order.
struct StreamTls final : TlsOutput {
  StreamTls(Stream& its_stream, std::unique_ptr<Tls> its_tls)
      : stream(its_stream), tls(std::move(its_tls)) {}

  void OnCiphertext(Bytes bytes) override;

  Stream& stream;
  std::unique_ptr<Tls> tls;  // nullptr: it has gone on to another shard
  HeldBytes received;        // of the handshake, until it is this stream's turn
  ListLink turn;
  size_t sealed = 0;           // slices
  uint32_t unasked_bytes = 0;  // that TLS has sent by itself since the peer took what was queued
  bool over = false;           // what is received from now on means nothing
  bool said_goodbye = false;   // close_notify
};

// What the encrypted streams of a shard share.
class Handshakes {
 public:
  IntrusiveList<StreamTls, &StreamTls::turn> waiting;
  std::vector<uint8_t> record;  // small slices on their way into one record
};

}  // namespace weir::engine
