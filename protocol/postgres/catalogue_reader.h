// Reads the catalogue of a database by questions in SQL, of bounded size each, that work on
// PostgreSQL 13 to 18.
//
//   fingerprint -> [built-ins -> functions, in pages -> uses -> expressions, in pages]
//
// If the fingerprint (rows and their versions, of all tables of the server's catalogue that count)
// is the one that is known, nothing else is asked. What changes while the questions are asked
// changes the fingerprint that comes next. Each question brings its own search_path.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/postgres/catalogue.h"

namespace weir::postgres {

struct CatalogueLimits {
  uint32_t functions_max = 200000;
  uint32_t names_max = 4000000;              // called in their sources, in all
  uint64_t bytes_max = uint64_t{512} << 20;  // of all answers
  uint32_t page = 500;                       // functions or expressions of one question
};

class PostgresCatalogueReader final : public protocol::CatalogueReader {
 public:
  // `known`: the fingerprint of what is known; empty: nothing is.
  explicit PostgresCatalogueReader(std::string known, CatalogueLimits limits = {});

  std::string_view Question(bool ascii_trailing_bytes) override;
  void OnRow(std::string_view row) override;
  [[nodiscard]] Next OnAnswered(bool failed) override;
  std::unique_ptr<protocol::Catalogue> Make() override;

 private:
  enum class Step : uint8_t { kFingerprint, kBuiltIns, kFunctions, kUses, kExpressions, kDone };
  using Row = std::vector<std::optional<std::string_view>>;

  void OnFunction(const Row& row);
  void OnUse(const Row& row);
  void OnExpression(const Row& row);

  const std::string known_;
  const CatalogueLimits limits_;
  Step step_ = Step::kFingerprint;
  size_t table_ = 0;    // of expressions
  uint32_t after_ = 0;  // the last oid that has been seen
  uint32_t count_ = 0;  // of the page
  bool ascii_trailing_bytes_ = false;
  bool malformed_ = false;
  uint64_t bytes_ = 0;
  std::string question_;
  std::string fingerprint_;
  CatalogueBuilder builder_;
};

}  // namespace weir::postgres
