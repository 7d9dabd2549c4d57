#include "protocol/auth/sigv4.h"

#include <algorithm>
#include <cstdint>

#include "engine/base/text.h"

namespace weir::protocol {
namespace {

using engine::Cat;

constexpr std::string_view kUpperDigits = "0123456789ABCDEF";
constexpr std::string_view kLowerDigits = "0123456789abcdef";
constexpr int64_t kMinuteSeconds = 60;
constexpr int64_t kHourSeconds = 60 * kMinuteSeconds;
constexpr int64_t kDaySeconds = 24 * kHourSeconds;

bool IsUnreserved(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

// -1: no digit.
int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// -1: not all are digits.
int Number(std::string_view digits) {
  int value = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return -1;
    value = value * 10 + (c - '0');
  }
  return value;
}

std::string TwoDigits(int64_t value) {
  return {static_cast<char>('0' + value / 10), static_cast<char>('0' + value % 10)};
}

// Days since 1970 of a day of the Gregorian calendar, and back (H. Hinnant, "chrono-compatible
// low-level date algorithms").
int64_t DaysOf(int year, int month, int day) {
  const int64_t y = month <= 2 ? year - 1 : year;
  const int64_t era = (y >= 0 ? y : y - 399) / 400;
  const int64_t year_of_era = y - era * 400;
  const int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146'097 + day_of_era - 719'468;
}

std::string Signed(const Digest256& signing_key, const SigningScope& scope, std::string_view time,
                   std::string_view request) {
  const std::string to_sign =
      Cat(kSigV4Algorithm, '\n', time, '\n', scope.Text(), '\n', LowerHex(AsText(Sha256(request))));
  return LowerHex(AsText(HmacSha256(AsText(signing_key), to_sign)));
}

bool IsDay(int year, int month, int day) {
  if (month < 1 || month > 12 || day < 1) return false;
  const int next_year = month == 12 ? year + 1 : year;
  const int next_month = month == 12 ? 1 : month + 1;
  return day <= DaysOf(next_year, next_month, 1) - DaysOf(year, month, 1);
}

}  // namespace

std::string SigningScope::Text() const {
  return Cat(date, '/', region, '/', service, '/', kSigV4Terminator);
}

Digest256 SigningKey(std::string_view secret, const SigningScope& scope) {
  std::string first = Cat("AWS4", secret);
  Digest256 key = HmacSha256(first, scope.date);
  Wipe(first);
  for (const std::string_view part :
       {std::string_view(scope.region), std::string_view(scope.service), kSigV4Terminator}) {
    key = HmacSha256(AsText(key), part);
  }
  return key;
}

std::string SignatureOf(const Digest256& signing_key, const SigningScope& scope,
                        std::string_view time, std::string_view canonical_query,
                        std::string_view host) {
  const std::string request =
      Cat("GET\n/\n", canonical_query, "\nhost:", host, "\n\nhost\n", LowerHex(AsText(Sha256({}))));
  return Signed(signing_key, scope, time, request);
}

std::string AuthorizationOf(const Digest256& signing_key, std::string_view key_id,
                            const SigningScope& scope, std::string_view time,
                            const SignedHeaders& headers, std::string_view body) {
  std::string names;
  std::string request = "POST\n/\n\n";
  for (const auto& [name, value] : headers) {
    engine::Append(names, names.empty() ? "" : ";", name);
    engine::Append(request, name, ':', value, '\n');
  }
  engine::Append(request, '\n', names, '\n', LowerHex(AsText(Sha256(body))));
  std::string authorization =
      Cat(kSigV4Algorithm, " Credential=", key_id, '/', scope.Text(), ", SignedHeaders=", names,
          ", Signature=", Signed(signing_key, scope, time, request));
  Wipe(request);  // a session token is among the headers
  return authorization;
}

std::string CanonicalQuery(const QueryParameters& parameters) {
  QueryParameters encoded;
  encoded.reserve(parameters.size());
  for (const auto& [name, value] : parameters)
    encoded.emplace_back(PercentEncode(name), PercentEncode(value));
  std::sort(encoded.begin(), encoded.end());
  std::string out;
  for (const auto& [name, value] : encoded)
    engine::Append(out, out.empty() ? "" : "&", name, '=', value);
  return out;
}

std::string PercentEncode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (IsUnreserved(c)) {
      out.push_back(c);
    } else {
      const auto byte = static_cast<uint8_t>(c);
      engine::Append(out, '%', kUpperDigits[byte >> 4], kUpperDigits[byte & 15]);
    }
  }
  return out;
}

std::optional<std::string> PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    if (text.size() - i < 3) return std::nullopt;
    const int high = HexDigit(text[i + 1]);
    const int low = HexDigit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out.push_back(static_cast<char>(high << 4 | low));
    i += 2;
  }
  return out;
}

std::string LowerHex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    engine::Append(out, kLowerDigits[byte >> 4], kLowerDigits[byte & 15]);
  }
  return out;
}

std::optional<int64_t> ParseBasicTime(std::string_view text) {
  if (text.size() != 16 || text[8] != 'T' || text[15] != 'Z') return std::nullopt;
  const int year = Number(text.substr(0, 4));
  const int month = Number(text.substr(4, 2));
  const int day = Number(text.substr(6, 2));
  const int hour = Number(text.substr(9, 2));
  const int minute = Number(text.substr(11, 2));
  const int second = Number(text.substr(13, 2));
  if (year < 0 || !IsDay(year, month, day) || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
      second < 0 || second > 59) {
    return std::nullopt;
  }
  return DaysOf(year, month, day) * kDaySeconds + hour * kHourSeconds + minute * kMinuteSeconds +
         second;
}

std::string FormatBasicTime(int64_t seconds) {
  const int64_t days = (seconds >= 0 ? seconds : seconds - kDaySeconds + 1) / kDaySeconds;
  const int64_t of_day = seconds - days * kDaySeconds;
  const int64_t shifted = days + 719'468;
  const int64_t era = (shifted >= 0 ? shifted : shifted - 146'096) / 146'097;
  const int64_t day_of_era = shifted - era * 146'097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t shifted_month = (5 * day_of_year + 2) / 153;
  const int64_t day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
  const int64_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  const int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  return Cat(TwoDigits(year / 100), TwoDigits(year % 100), TwoDigits(month), TwoDigits(day), 'T',
             TwoDigits(of_day / 3600), TwoDigits(of_day / 60 % 60), TwoDigits(of_day % 60), 'Z');
}

std::optional<int64_t> ParseIsoTime(std::string_view text) {
  if (text.size() != 20 || text[4] != '-' || text[7] != '-' || text[13] != ':' || text[16] != ':')
    return std::nullopt;
  return ParseBasicTime(Cat(text.substr(0, 4), text.substr(5, 2), text.substr(8, 5),
                            text.substr(14, 2), text.substr(17)));
}

}  // namespace weir::protocol
