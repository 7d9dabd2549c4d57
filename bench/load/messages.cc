#include "bench/load/messages.h"

#include <utility>

#include "engine/base/check.h"
#include "protocol/postgres/format.h"
#include "protocol/wire/writer.h"

namespace weir::load {
namespace {

namespace backend = postgres::backend;
namespace frontend = postgres::frontend;
using protocol::Writer;

constexpr std::string_view kSelect = "SELECT abalance FROM pgbench_accounts WHERE aid = ";
constexpr std::string_view kBigSelect = "SELECT filler FROM pgbench_accounts WHERE aid = ";
constexpr uint32_t kInt4 = 23;

Writer& U16(Writer& writer, uint16_t value) {
  return writer.U8(static_cast<uint8_t>(value >> 8)).U8(static_cast<uint8_t>(value));
}

std::string Simple(std::string_view sql) {
  std::string out;
  Writer writer(out);
  writer.Begin(frontend::kQuery).Raw(sql).Raw(kKeyMark).CString(";");
  writer.End();
  return out;
}

void AppendColumn(Writer& writer, std::string_view name) {
  U16(writer.CString(name).U32(16384), 3);            // its table and number
  U16(U16(writer.U32(kInt4), 4).U32(0xffffffff), 0);  // type, size, modifier, text
}

}  // namespace

Template::Template(std::string text) : text_(std::move(text)), place_(text_.find(kKeyMark)) {
  CHECK(place_ != std::string::npos);
}

std::string_view Template::With(std::string_view key) {
  CHECK(key.size() == kKeyDigits);
  text_.replace(place_, kKeyDigits, key);
  return text_;
}

std::string StartupMessage() {
  std::string out;
  Writer writer(out);
  writer.Begin(0).U32(postgres::kProtocolMajor << 16);
  writer.CString("user").CString("app").CString("database").CString("postgres").U8(0);
  writer.End();
  return out;
}

std::string ParseMessage(std::string_view name) {
  std::string out;
  Writer writer(out);
  writer.Begin(frontend::kParse).CString(name).Raw(kSelect).CString("$1;");
  U16(writer, 0);
  writer.End();
  return out + Bare(frontend::kSync);
}

Template Question(Mode mode) {
  if (mode == Mode::kSimple) return Template(Simple(kSelect));
  std::string out;
  const std::string_view name = mode == Mode::kPrepared ? "P0" : "";
  if (mode == Mode::kExtended) {
    out = ParseMessage("");
    out.resize(out.size() - Bare(frontend::kSync).size());
  }
  Writer writer(out);
  writer.Begin(frontend::kBind).CString("").CString(name);
  U16(U16(writer, 0), 1).U32(kKeyDigits).Raw(kKeyMark);
  U16(U16(writer, 1), 0);
  writer.End();
  writer.Begin(frontend::kDescribe).U8('P').CString("");
  writer.End();
  writer.Begin(frontend::kExecute).CString("").U32(0);
  writer.End();
  return Template(out + Bare(frontend::kSync));
}

Template BigQuestion() { return Template(Simple(kBigSelect)); }

bool IsLate(std::string_view key, uint32_t every) {
  if (every == 0) return false;
  uint32_t number = 0;
  for (const char digit : key) number = number * 10 + static_cast<uint32_t>(digit - '0');
  return number % every == 0;
}

bool IsBigQuestion(std::string_view sql) { return sql.starts_with(kBigSelect); }

std::string Bare(char type) {
  std::string out;
  Writer writer(out);
  writer.Begin(static_cast<uint8_t>(type));
  writer.End();
  return out;
}

std::string ReadyForQuery() {
  std::string out;
  Writer writer(out);
  writer.Begin(backend::kReadyForQuery).U8('I');
  writer.End();
  return out;
}

std::string Greeting(uint32_t process_id) {
  constexpr std::string_view kParameters[][2] = {
      {"application_name", ""},         {"client_encoding", "UTF8"},
      {"DateStyle", "ISO, MDY"},        {"default_transaction_read_only", "off"},
      {"in_hot_standby", "off"},        {"integer_datetimes", "on"},
      {"IntervalStyle", "postgres"},    {"is_superuser", "on"},
      {"server_encoding", "UTF8"},      {"server_version", "15.0"},
      {"session_authorization", "app"}, {"standard_conforming_strings", "on"},
      {"TimeZone", "Etc/UTC"},
  };
  std::string out;
  Writer writer(out);
  writer.Begin(backend::kAuthentication).U32(0);
  writer.End();
  for (const auto& [name, value] : kParameters) {
    writer.Begin(backend::kParameterStatus).CString(name).CString(value);
    writer.End();
  }
  writer.Begin(backend::kBackendKeyData).U32(process_id).U32(process_id * 2654435761u);
  writer.End();
  return out + ReadyForQuery();
}

std::string DoneReply(std::string_view tag) {
  std::string out;
  Writer writer(out);
  writer.Begin(backend::kCommandComplete).CString(tag);
  writer.End();
  return out + ReadyForQuery();
}

std::string ErrorReply(std::string_view sqlstate, std::string_view text) {
  std::string out;
  Writer writer(out);
  writer.Begin(backend::kErrorResponse).Raw("SERROR").U8(0).Raw("VERROR").U8(0);
  writer.U8('C').CString(sqlstate).U8('M').CString(text).U8(0);
  writer.End();
  return out;
}

// max_connections, and those that are kept for others: 20 are left.
std::string FactsReply() {
  std::string out;
  Writer writer(out);
  U16(writer.Begin(backend::kRowDescription), 3);
  for (const std::string_view name : {"current_setting", "current_setting", "coalesce"})
    AppendColumn(writer, name);
  writer.End();
  U16(writer.Begin(backend::kDataRow), 3);
  for (const std::string_view value : {"23", "3", "0"})
    writer.U32(static_cast<uint32_t>(value.size())).Raw(value);
  writer.End();
  return out + DoneReply("SELECT 1");
}

std::string CatalogueReply(std::string_view sql) {
  if (!sql.starts_with("SET LOCAL search_path TO pg_catalog")) return {};
  std::string out;
  Writer writer(out);
  const auto has = [sql](std::string_view part) {
    return sql.find(part) != std::string_view::npos;
  };
  if (has("hashtext")) {
    U16(writer.Begin(backend::kDataRow), 1).U32(3).Raw("0/0");
    writer.End();
  } else if (has("WITH page")) {
    // A page of no rows: their number, and no last one.
    U16(writer.Begin(backend::kDataRow), 2).U32(1).Raw("0").U32(UINT32_MAX);
    writer.End();
  }
  return out + DoneReply("SELECT 1");
}

std::string RowDescription() {
  std::string out;
  Writer writer(out);
  AppendColumn(U16(writer.Begin(backend::kRowDescription), 1), "abalance");
  writer.End();
  return out;
}

std::string ParameterDescription() {
  std::string out;
  Writer writer(out);
  U16(writer.Begin(backend::kParameterDescription), 1).U32(kInt4);
  writer.End();
  return out;
}

std::string BigAnswer(std::string_view key) {
  std::string out = RowDescription();
  Writer writer(out);
  const std::string filler(kBigFiller, '.');
  for (int i = 0; i < kBigRows; ++i) {
    U16(writer.Begin(backend::kDataRow), 1).U32(static_cast<uint32_t>(kKeyDigits + kBigFiller));
    writer.Raw(key).Raw(filler);
    writer.End();
  }
  return out + DoneReply("SELECT 256");
}

Template Row() {
  std::string out;
  Writer writer(out);
  U16(writer.Begin(backend::kDataRow), 1).U32(kKeyDigits).Raw(kKeyMark);
  writer.End();
  writer.Begin(backend::kCommandComplete).CString("SELECT 1");
  writer.End();
  return Template(out);
}

}  // namespace weir::load
