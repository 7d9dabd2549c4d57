// The settings of a session as PostgreSQL keeps them: values that last, values of a transaction,
// and what ROLLBACK and savepoints make of them.
//
// Stands on both sides of an exchange: the model of a server holds a session's, the model of a
// client what it would see if the session were its own. Texts are read by a table of their fronts
// and backs, not by a lexer.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {

// A text that changes settings, chosen. `tag` makes some of its values one client's own.
std::string SettingText(Choices& choices, char tag);

// A statement changes settings, if it is lexed in one of the two ways.
bool ChangesSettings(std::string_view text);

// The statements of a simple query.
std::vector<std::string> PartsOf(std::string_view text);

class ModelSettings {
 public:
  // `initial`: with what init_query has set.
  explicit ModelSettings(bool initial);

  // What a text does to them. `escapes`: it was lexed with backslashes that escape. False: denied.
  [[nodiscard]] bool Run(std::string_view text, bool escapes);

  // No value: it was never made; only of a user's own.
  std::optional<std::string> Get(std::string_view name) const;
  static std::string Default(std::string_view name);
  // No value: the default. False: denied.
  [[nodiscard]] bool Set(const std::string& name, std::optional<std::string> value, bool local);
  void ResetAll();
  void ResetAuthorization();

  void Savepoint();
  bool RollbackTo();  // false: there is none
  void Abort();       // an error in a transaction block
  void End(bool commit);

  // All of them, as one text. One of the user's own that is empty is as if it were not there.
  std::string All() const;
  // Those by which a text is lexed and its literals are read.
  std::string Lexed() const;
  static bool Escapes(std::string_view lexed) { return lexed.find("|off|") != std::string::npos; }
  bool escapes() const { return Escapes(Lexed()); }

  // Those that the server reports.
  static const std::vector<std::string>& Reported();
  // What init_query has set.
  static constexpr std::string_view kInitialName = "work_mem";
  static constexpr std::string_view kInitialValue = "8MB";

 private:
  struct Value {
    std::string session;
    std::optional<std::string> local;
  };
  using State = std::map<std::string, Value, std::less<>>;

  void Keep();

  State state_;
  std::vector<State> saved_;  // at the start of the transaction, then at its savepoints
  bool own_made_ = false;
};

}  // namespace weir::fuzz
