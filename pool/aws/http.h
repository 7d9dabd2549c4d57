// One HTTP request and its answer: a seam. Blocks; never on a shard.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/base/clock.h"
#include "protocol/auth/crypto.h"

namespace weir::pool {

// May hold secrets: wiped when it dies.
struct HttpRequest {
  HttpRequest() = default;
  HttpRequest(const HttpRequest&) = delete;
  HttpRequest& operator=(const HttpRequest&) = delete;
  ~HttpRequest() {
    for (std::string& header : headers) protocol::Wipe(header);
    protocol::Wipe(body);
  }

  std::string method = "GET";
  std::string url;
  std::string unix_socket{};           // a socket file that is connected to; empty: the URL's host
  std::vector<std::string> headers{};  // "name: value"
  std::string body{};                  // none with GET
  std::string ca_file = "system";      // authorities that may certify an https server
  engine::Nanos timeout = 5 * engine::kSecond;  // for all of it
  size_t answer_bytes_max = size_t{64} * 1024;
};

struct HttpAnswer {
  HttpAnswer() = default;
  HttpAnswer(HttpAnswer&&) = default;
  HttpAnswer& operator=(HttpAnswer&&) = default;
  HttpAnswer(const HttpAnswer&) = delete;
  HttpAnswer& operator=(const HttpAnswer&) = delete;
  ~HttpAnswer() { protocol::Wipe(body); }

  int status = 0;     // 0: there was no answer
  std::string error;  // ... why
  std::string body;
};

class Http {
 public:
  virtual ~Http() = default;
  // By any thread.
  virtual HttpAnswer Send(const HttpRequest& request) = 0;
};

}  // namespace weir::pool
