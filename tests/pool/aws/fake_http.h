// An Http whose answers are written down beforehand, and which remembers what it was asked.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/wall_clock.h"
#include "pool/aws/http.h"

namespace weir::pool {

class FakeHttp final : public Http {
 public:
  struct Asked {
    std::string method;
    std::string url;
    std::string unix_socket;
    std::vector<std::string> headers;
    std::string body;
    // The value of a header; "(none)" without it.
    std::string Header(std::string_view name) const {
      for (const std::string& each : headers) {
        if (each.starts_with(std::string(name) + ": ")) return each.substr(name.size() + 2);
      }
      return "(none)";
    }
  };

  // Status 0: `body` is the error.
  void Will(int status, std::string body) { answers_.emplace_back(status, std::move(body)); }
  HttpAnswer Send(const HttpRequest& request) override {
    asked.push_back(
        {request.method, request.url, request.unix_socket, request.headers, request.body});
    if (meanwhile) std::exchange(meanwhile, nullptr)();
    HttpAnswer answer;
    if (answers_.empty()) {
      answer.error = "nothing was written down";
      return answer;
    }
    answer.status = answers_.front().first;
    (answer.status == 0 ? answer.error : answer.body) = answers_.front().second;
    answers_.pop_front();
    return answer;
  }
  bool empty() const { return answers_.empty(); }

  std::vector<Asked> asked;
  std::function<void()> meanwhile;  // happens while the next one is asked

 private:
  std::deque<std::pair<int, std::string>> answers_;
};

class SteeredWallClock final : public engine::WallClock {
 public:
  engine::Nanos Now() const override { return now; }
  engine::Nanos now = 1'800'000'000 * engine::kSecond;
};

}  // namespace weir::pool
