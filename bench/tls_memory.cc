// What OpenSSL holds for one idle connection of a client's, piece by piece: after the handshake and
// a few bytes each way.
//
//   tls_memory CERTIFICATE KEY
#include <openssl/crypto.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/prng.h"
#include "engine/tls_context.h"

namespace weir::engine {
namespace {

// A piece: its size, and the line of OpenSSL's that has asked for it.
using Piece = std::pair<size_t, std::string>;

struct Book {
  bool open = false;
  std::map<void*, Piece> pieces;
};
Book& TheBook() {
  static Book book;
  return book;
}

void Note(void* block, size_t size, const char* file, int line) {
  if (block == nullptr) return;
  std::string place(file);
  while (place.starts_with("../")) place.erase(0, 3);
  TheBook().pieces[block] = {size, place + ":" + std::to_string(line)};
}

void* Allocate(size_t size, const char* file, int line) {
  void* block = std::malloc(size);
  if (TheBook().open) Note(block, size, file, line);
  return block;
}
void* Reallocate(void* old, size_t size, const char* file, int line) {
  const bool known = TheBook().pieces.erase(old) > 0;
  void* block = std::realloc(old, size);
  if (TheBook().open || known) Note(block, size, file, line);
  return block;
}
void Free(void* block, const char*, int) {
  TheBook().pieces.erase(block);
  std::free(block);
}

struct End final : TlsOutput {
  explicit End(std::unique_ptr<Tls> its_tls) : tls(std::move(its_tls)) {}
  void OnCiphertext(Bytes bytes) override { sent += AsText(bytes); }
  void Take(const std::string& ciphertext) {
    Bytes in = AsBytes(ciphertext);
    for (Tls::Status status = Tls::Status::kReady;
         status == Tls::Status::kReady || status == Tls::Status::kData;) {
      uint8_t into[1000];
      size_t length = 0;
      status = tls->Read(in, into, length, *this);
    }
  }
  std::unique_ptr<Tls> tls;
  std::string sent;
};

// The server's end of a connection; the client's is gone. `count`: its pieces are.
std::unique_ptr<Tls> Connect(const TlsServer& server, const TlsClient& client, bool count) {
  End a(client.NewConnection());
  TheBook().open = count;
  End b(server.NewConnection(/*direct=*/true, 0));
  TheBook().open = false;
  const auto exchange = [&] {
    for (int i = 0; i < 4; ++i) {
      a.Take(std::exchange(b.sent, {}));
      const std::string to_server = std::exchange(a.sent, {});
      TheBook().open = count;
      b.Take(to_server);
      TheBook().open = false;
    }
  };
  exchange();
  CHECK(a.tls->ready() && b.tls->ready());
  a.tls->Write(AsBytes("question"), a);
  exchange();
  TheBook().open = count;
  b.tls->Write(AsBytes("answer"), b);
  TheBook().open = false;
  exchange();
  return std::move(b.tls);
}

int Main(int count, char** values) {
  if (count != 3) {
    std::fputs("usage: tls_memory CERTIFICATE KEY\n", stderr);
    return 2;
  }
  CHECK(CRYPTO_set_mem_functions(&Allocate, &Reallocate, &Free) == 1);
  SystemEntropy entropy;
  std::vector<std::string> warnings;
  const auto server = TlsServerContext::Load(
      {.certificates = {{values[1], values[2]}}, .protocol = "postgresql"}, entropy, warnings);
  const auto client = TlsClientContext::Load({.protocol = "postgresql"}, warnings);
  if (!server.ok()) {
    std::fprintf(stderr, "tls_memory: %s\n", std::string(server.status().message()).c_str());
    return 1;
  }
  Connect(**server, **client, false);  // what the first one makes for all
  const std::unique_ptr<Tls> idle = Connect(**server, **client, true);
  const TlsFacts facts = idle->Facts();
  std::map<Piece, int, std::greater<>> table;
  size_t total = 0;
  for (const auto& [block, piece] : TheBook().pieces) {
    total += piece.first;
    ++table[piece];
  }
  std::printf("%s, %s, %s: %zu bytes in %zu pieces\n", OpenSSL_version(OPENSSL_VERSION),
              facts.version.c_str(), facts.cipher.c_str(), total, TheBook().pieces.size());
  for (const auto& [piece, times] : table)
    std::printf("%6zu x %d  %s\n", piece.first, times, piece.second.c_str());
  // What OpenSSL frees at its end would not find the book any more.
  std::fflush(stdout);
  _exit(0);
}

}  // namespace
}  // namespace weir::engine

int main(int count, char** values) { return weir::engine::Main(count, values); }
