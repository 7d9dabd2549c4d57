// The messages that the load program says and checks: those of `pgbench -S`, sizes alike.
//
// Every question has a key, a number of six digits; every answer carries it as its value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weir::load {

enum class Mode : uint8_t { kSimple, kExtended, kPrepared };

inline constexpr size_t kKeyDigits = 6;
inline constexpr uint32_t kKeyFirst = 100'000;
inline constexpr uint32_t kKeys = 900'000;
// The slow readers' answer: that many rows, each with the key and a filler.
inline constexpr int kBigRows = 256;
inline constexpr size_t kBigFiller = 1000;

// A text with a key in it, at a known place.
class Template {
 public:
  Template() = default;
  // `text` must hold kKeyMark once.
  explicit Template(std::string text);
  // Good until the next call.
  std::string_view With(std::string_view key);
  size_t size() const { return text_.size(); }

 private:
  std::string text_;
  size_t place_ = 0;
};
inline constexpr std::string_view kKeyMark = "??????";

// What clients send.
std::string StartupMessage();
std::string ParseMessage(std::string_view name);  // and a Sync
Template Question(Mode mode);
Template BigQuestion();  // simple protocol
bool IsBigQuestion(std::string_view sql);
// The answer to every so many questions takes long; 0: to none.
bool IsLate(std::string_view key, uint32_t every);

// What the server sends.
std::string Greeting(uint32_t process_id);  // AuthenticationOk ... ReadyForQuery
std::string FactsReply();                   // what a proxy asks of a new connection
// To a question about functions and the like of the database: there are none. Empty: it is not one.
std::string CatalogueReply(std::string_view sql);
std::string DoneReply(std::string_view tag);  // CommandComplete, ReadyForQuery
std::string ErrorReply(std::string_view sqlstate, std::string_view text);
std::string RowDescription();
std::string ParameterDescription();
std::string ReadyForQuery();
Template Row();                               // DataRow, CommandComplete
std::string BigAnswer(std::string_view key);  // RowDescription ... ReadyForQuery
std::string Bare(char type);                  // a message without a body

}  // namespace weir::load
