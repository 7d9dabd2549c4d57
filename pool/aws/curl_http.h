// HTTP by libcurl. Certificates are verified, redirects are not followed, proxies of the
// environment are not used: what is sent are keys.
#pragma once

#include <atomic>

#include "pool/aws/http.h"

namespace weir::pool {

class CurlHttp final : public Http {
 public:
  CurlHttp();  // before there are other threads
  ~CurlHttp() override;
  CurlHttp(const CurlHttp&) = delete;
  CurlHttp& operator=(const CurlHttp&) = delete;

  HttpAnswer Send(const HttpRequest& request) override;
  // From now on, and what is under way: no answer. The program ends.
  void Stop() { stopping_.store(true, std::memory_order_relaxed); }

 private:
  std::atomic<bool> stopping_{false};
};

}  // namespace weir::pool
