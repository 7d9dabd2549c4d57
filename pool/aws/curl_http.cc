#include "pool/aws/curl_http.h"

#include <curl/curl.h>
#include <openssl/crypto.h>

#include <cstdint>
#include <cstring>
#include <memory>

#include "engine/base/check.h"
#include "engine/base/text.h"

namespace weir::pool {
namespace {

using engine::Cat;

// What libcurl calls has the names that its manual gives it.
struct Receiver {
  HttpAnswer& answer;
  const size_t bytes_max;
  bool too_long = false;
};

size_t OnAnswerBytes(char* data, size_t size, size_t count, void* user) {
  Receiver& receiver = *static_cast<Receiver*>(user);
  std::string& body = receiver.answer.body;
  const size_t length = size * count;
  if (length > receiver.bytes_max - body.size()) {
    receiver.too_long = true;
    return 0;
  }
  // In one place, which is wiped.
  if (body.capacity() < receiver.bytes_max) body.reserve(receiver.bytes_max);
  body.append(data, length);
  return length;
}

int OnProgress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const std::atomic<bool>*>(user)->load(std::memory_order_relaxed) ? 1 : 0;
}

struct Headers {
  Headers() = default;
  Headers(const Headers&) = delete;
  Headers& operator=(const Headers&) = delete;
  ~Headers() {
    for (curl_slist* each = list; each != nullptr; each = each->next)
      OPENSSL_cleanse(each->data, std::strlen(each->data));
    curl_slist_free_all(list);
  }
  void Add(const std::string& header) { list = curl_slist_append(list, header.c_str()); }
  curl_slist* list = nullptr;
};

struct EndHandle {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};

template <class Value>
void Set(CURL* handle, CURLoption option, Value value) {
  CHECK(curl_easy_setopt(handle, option, value) == CURLE_OK);
}

void SetUp(CURL* handle, const HttpRequest& request, const Headers& headers) {
  Set(handle, CURLOPT_URL, request.url.c_str());
  Set(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  Set(handle, CURLOPT_NOPROXY, "*");
  Set(handle, CURLOPT_NOSIGNAL, 1L);
  Set(handle, CURLOPT_USERAGENT, "weir/" WEIR_VERSION);
  Set(handle, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (request.ca_file != "system") {
    Set(handle, CURLOPT_CAINFO, request.ca_file.c_str());
    // The distribution's would be good beside it.
    Set(handle, CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  }
  if (!request.unix_socket.empty())
    Set(handle, CURLOPT_UNIX_SOCKET_PATH, request.unix_socket.c_str());
  const long milliseconds = static_cast<long>(request.timeout / engine::kMillisecond);
  Set(handle, CURLOPT_TIMEOUT_MS, milliseconds);
  Set(handle, CURLOPT_CONNECTTIMEOUT_MS, milliseconds);
  if (request.method != "GET") {
    Set(handle, CURLOPT_POSTFIELDSIZE, static_cast<long>(request.body.size()));
    Set(handle, CURLOPT_POSTFIELDS, request.body.c_str());
    Set(handle, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
  Set(handle, CURLOPT_HTTPHEADER, headers.list);
}

}  // namespace

CurlHttp::CurlHttp() { CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK); }

CurlHttp::~CurlHttp() { curl_global_cleanup(); }

HttpAnswer CurlHttp::Send(const HttpRequest& request) {
  HttpAnswer answer;
  const std::unique_ptr<CURL, EndHandle> handle(curl_easy_init());
  CHECK(handle != nullptr);
  Headers headers;
  for (const std::string& header : request.headers) headers.Add(header);
  headers.Add("Expect:");
  if (request.body.empty()) headers.Add("Content-Type:");
  SetUp(handle.get(), request, headers);
  Receiver receiver{answer, request.answer_bytes_max};
  Set(handle.get(), CURLOPT_WRITEFUNCTION, &OnAnswerBytes);
  Set(handle.get(), CURLOPT_WRITEDATA, &receiver);
  Set(handle.get(), CURLOPT_NOPROGRESS, 0L);
  Set(handle.get(), CURLOPT_XFERINFOFUNCTION, &OnProgress);
  Set(handle.get(), CURLOPT_XFERINFODATA, &stopping_);
  char detail[CURL_ERROR_SIZE] = "";
  Set(handle.get(), CURLOPT_ERRORBUFFER, detail);
  const CURLcode result = curl_easy_perform(handle.get());
  if (result == CURLE_OK) {
    long status = 0;
    CHECK(curl_easy_getinfo(handle.get(), CURLINFO_RESPONSE_CODE, &status) == CURLE_OK);
    answer.status = static_cast<int>(status);
    return answer;
  }
  protocol::Wipe(answer.body);
  if (receiver.too_long) {
    answer.error = Cat("an answer of more than ", request.answer_bytes_max, " bytes");
  } else if (result == CURLE_OPERATION_TIMEDOUT) {
    answer.error = Cat("no answer within ", request.timeout / engine::kMillisecond, " ms");
  } else {
    answer.error = detail[0] != '\0' ? detail : curl_easy_strerror(result);
  }
  return answer;
}

}  // namespace weir::pool
