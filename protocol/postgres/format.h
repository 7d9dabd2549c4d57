// The messages of PostgreSQL's protocol 3 by their documented names ("Message Formats"), and
// limits.
#pragma once

#include <cstdint>

namespace weir::postgres {

// Of the length field, which counts itself.
inline constexpr uint32_t kMessageLengthMax = 0x3fffffff;
inline constexpr uint32_t kStartupLengthMax = 10000;
// Passwords may be tokens of several kilobytes.
inline constexpr uint32_t kPasswordLengthMax = 8192 + 64;

inline constexpr uint32_t kProtocolMajor = 3;
inline constexpr uint32_t kCancelRequestCode = 80877102;
inline constexpr uint32_t kSslRequestCode = 80877103;
inline constexpr uint32_t kGssEncRequestCode = 80877104;
// The first byte of TLS (a handshake record); no packet in the clear that is short enough begins
// so.
inline constexpr uint8_t kTlsHandshake = 0x16;

namespace frontend {
inline constexpr uint8_t kBind = 'B';
inline constexpr uint8_t kClose = 'C';
inline constexpr uint8_t kCopyData = 'd';
inline constexpr uint8_t kCopyDone = 'c';
inline constexpr uint8_t kCopyFail = 'f';
inline constexpr uint8_t kDescribe = 'D';
inline constexpr uint8_t kExecute = 'E';
inline constexpr uint8_t kFlush = 'H';
inline constexpr uint8_t kFunctionCall = 'F';
inline constexpr uint8_t kParse = 'P';
inline constexpr uint8_t kPasswordMessage = 'p';  // SASL responses too
inline constexpr uint8_t kQuery = 'Q';
inline constexpr uint8_t kSync = 'S';
inline constexpr uint8_t kTerminate = 'X';
}  // namespace frontend

namespace backend {
inline constexpr uint8_t kAuthentication = 'R';
inline constexpr uint8_t kBackendKeyData = 'K';
inline constexpr uint8_t kBindComplete = '2';
inline constexpr uint8_t kCloseComplete = '3';
inline constexpr uint8_t kCommandComplete = 'C';
inline constexpr uint8_t kCopyData = 'd';
inline constexpr uint8_t kCopyDone = 'c';
inline constexpr uint8_t kCopyBothResponse = 'W';
inline constexpr uint8_t kCopyInResponse = 'G';
inline constexpr uint8_t kCopyOutResponse = 'H';
inline constexpr uint8_t kDataRow = 'D';
inline constexpr uint8_t kEmptyQueryResponse = 'I';
inline constexpr uint8_t kErrorResponse = 'E';
inline constexpr uint8_t kFunctionCallResponse = 'V';
inline constexpr uint8_t kNegotiateProtocolVersion = 'v';
inline constexpr uint8_t kNoData = 'n';
inline constexpr uint8_t kNoticeResponse = 'N';
inline constexpr uint8_t kNotificationResponse = 'A';
inline constexpr uint8_t kParameterDescription = 't';
inline constexpr uint8_t kParameterStatus = 'S';
inline constexpr uint8_t kParseComplete = '1';
inline constexpr uint8_t kPortalSuspended = 's';
inline constexpr uint8_t kReadyForQuery = 'Z';
inline constexpr uint8_t kRowDescription = 'T';
}  // namespace backend

// The codes of Authentication messages.
enum class Authentication : uint32_t {
  kOk = 0,
  kCleartextPassword = 3,
  kMd5Password = 5,
  kSasl = 10,
  kSaslContinue = 11,
  kSaslFinal = 12,
};

}  // namespace weir::postgres
