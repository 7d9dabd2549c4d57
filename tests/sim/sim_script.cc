// What a simulated client asks: statements of every kind, by chance.
#include <cstdint>
#include <iterator>
#include <string>

#include "tests/sim/sim_client.h"

namespace weir::sim {
namespace {

std::string Z(std::string_view text) { return std::string(text) + std::string(1, '\0'); }

PgMessage Parse(const std::string& name, const std::string& sql) {
  return {'P', Z(name) + Z(sql) + std::string(2, '\0')};
}
PgMessage Bind(const std::string& name, const std::string& parameter, bool takes) {
  std::string body = Z("") + Z(name) + std::string(2, '\0');
  if (takes) {
    body += std::string("\0\1", 2) + U32(static_cast<uint32_t>(parameter.size())) + parameter;
  } else {
    body += std::string(2, '\0');
  }
  return {'B', body + std::string(2, '\0')};
}
PgMessage Execute(uint32_t rows = 0) { return {'E', Z("") + U32(rows)}; }
PgMessage Describe(char kind, const std::string& name) { return {'D', kind + Z(name)}; }
PgMessage CloseStatement(const std::string& name) { return {'C', "S" + Z(name)}; }
const PgMessage kSync{'S', {}};
const PgMessage kFlush{'H', {}};

}  // namespace

std::string SimClient::Tag() {
  return "t" + Number(number_) + "." + Number(lives_) + "." + Number(++tags_);
}

SimClient::Request SimClient::Simple(const std::string& sql) {
  Request request;
  request.messages = {{'Q', Z(sql)}};
  request.sleeps = sql.find("sleep(") != std::string::npos;
  return request;
}

SimClient::Request SimClient::Next() {
  if (in_block_ && Roll() < 0.35) {
    in_block_ = false;
    return Simple(Roll() < 0.7 ? "commit" : "rollback");
  }
  const double roll = Roll();
  if (!in_block_ && roll < 0.12) {
    in_block_ = true;
    return Simple("begin");
  }
  if (!in_block_ && options_.reads > 0 && Roll() < options_.reads) return NextRead();
  if (Roll() < options_.pins) return NextState();
  if (Roll() < options_.settings) return NextSetting();
  if (roll < 0.45) return NextSimple();
  if (roll < 0.65) return NextExtended();
  if (roll < 0.9 && options_.from_sql > 0 && Roll() < options_.from_sql) return NextFromSql();
  if (roll < 0.9) return NextNamed();
  return NextCopy();
}

// In several ways; now and then one that fails, or takes long, or returns much.
SimClient::Request SimClient::NextRead() {
  const std::string tag = Tag();
  const double roll = Roll();
  if (roll < 0.02) return Simple("select '" + tag + "' /* sleep(0.0" + Number(Some(40)) + ") */");
  if (roll < 0.05) return Simple("select '" + tag + "', 1 / 0");
  if (roll < 0.1) return Simple("select '" + tag + std::string(options_.large, 'x') + "'");
  if (roll < 0.2)
    return Simple("select '" + tag + "' from generate_series(1, " + Number(Some(400)) + ")");
  if (roll < 0.28) return Simple("select '" + tag + "' /* sleep(0.000" + Number(Some(9)) + ") */");
  if (roll < 0.36) return Simple("select current_setting('mine')");
  if (roll < 0.5) return Simple("select '" + tag + "'");
  Request request;
  if (roll < 0.75 || names_.empty()) {
    if (roll < 0.55 && unnamed_certain_ && requests_.empty() && model_.HasUnnamed()) {
      request.messages = {Bind("", tag, true), Execute(), kSync};
      return request;
    }
    unnamed_certain_ = roll < 0.6 && requests_.empty();
    request.messages = {Parse("", "select 'u" + tag + "' || $1"), Bind("", tag, true),
                        Describe('P', ""), Execute(), kSync};
    return request;
  }
  auto chosen = names_.begin();
  std::advance(chosen, static_cast<ptrdiff_t>(prng_.Below(names_.size())));
  request.messages = {Bind(*chosen, tag, true), Execute(), kSync};
  return request;
}

SimClient::Request SimClient::NextSimple() {
  const std::string tag = Tag();
  const double roll = Roll();
  if (roll < 0.08)
    return Simple("select '" + tag + "' from generate_series(1, " + Number(Some(400)) + ")");
  if (roll < 0.16) {
    return Simple("select '" + tag + "', pg_sleep(0.0" + Number(Some(40)) + ")");
  }
  if (roll < 0.24) return Simple("select '" + tag + "', 1 / 0");
  if (roll < 0.3) return Simple("select '" + tag + "'; select '" + tag + "b'");
  if (roll < 0.33) return Simple("");
  if (roll < 0.36) return Simple("syntax '" + tag + "'");
  if (roll < 0.48) {
    Request request = Simple("insert into t values ('" + tag + "')");
    request.inserts = tag;
    request.rows = 1;
    return request;
  }
  if (roll < 0.52) return Simple("select '" + tag + std::string(options_.large, 'x') + "'");
  if (roll < 0.6 && !in_block_ && requests_.empty()) {
    return Simple(Roll() < 0.5 ? "select nextval('numbers')" : "select currval('numbers')");
  }
  if (roll < 0.66) return Simple(roll < 0.63 ? "show base" : "show mine");
  return Simple("select '" + tag + "'");
}

// The unnamed statement, in one request or in two.
SimClient::Request SimClient::NextExtended() {
  Request request;
  const std::string tag = Tag();
  const double roll = Roll();
  if (roll < 0.25 && unnamed_certain_ && requests_.empty() && model_.HasUnnamed()) {
    request.messages = {Bind("", tag, true), Execute(), kSync};
    return request;
  }
  const std::string sql = "select 'u" + tag + "' || $1";
  if (roll < 0.5) {
    request.messages = {Parse("", sql), Describe('S', ""), kSync};
    unnamed_certain_ = requests_.empty();
    return request;
  }
  unnamed_certain_ = false;
  if (roll < 0.6) {
    // An error; what follows is skipped.
    request.messages = {Parse("", "select '" + tag + "', 1 / 0"),
                        Bind("", "", false),
                        Execute(),
                        Parse("", sql),
                        Bind("", tag, true),
                        Execute(),
                        kSync};
    return request;
  }
  if (roll < 0.7) {
    request.messages = {Parse("", "select '" + tag + "' from generate_series(1, 9)"),
                        Bind("", "", false),
                        Describe('P', ""),
                        Execute(4),
                        kFlush,
                        Execute(4),
                        Execute(4),
                        kSync};
    return request;
  }
  if (roll < 0.8) {
    request.messages = {Parse("", "insert into t values ('" + tag + "')"), Bind("", "", false),
                        Execute(), kSync};
    request.inserts = tag;
    request.rows = 1;
    return request;
  }
  if (roll < 0.85) {
    request.messages = {Parse("", sql), Bind("", tag + std::string(options_.large, 'y'), true),
                        Execute(), kSync};
    return request;
  }
  request.messages = {Parse("", sql), Bind("", tag, true), Describe('P', ""), Execute(), kSync};
  return request;
}

SimClient::Request SimClient::NextNamed() {
  Request request;
  const std::string tag = Tag();
  const double roll = Roll();
  if (names_.empty() || roll < 0.3) {
    // Few different texts, so that clients share them.
    const std::string name = "s" + Number(number_) + "_" + Number(tags_);
    const std::string sql = roll < 0.03 ? "syntax 'x'" : "select 'n" + Number(Some(6)) + "-' || $1";
    request.messages = {Parse(name, sql), Bind(name, tag, true), Execute(), kSync};
    if (roll < 0.1) request.messages = {Parse(name, sql), Describe('S', name), kSync};
    request.names = {name};
    return request;
  }
  auto chosen = names_.begin();
  std::advance(chosen, static_cast<ptrdiff_t>(prng_.Below(names_.size())));
  const std::string name = *chosen;
  if (roll < 0.36) {
    names_.erase(chosen);
    gone_names_.push_back(name);
    request.messages = {CloseStatement(name), kSync};
    return request;
  }
  if (roll < 0.42) {
    request.messages = {Parse(name, "select 'again'"), Bind(name, tag, true), Execute(), kSync};
    return request;
  }
  if (roll < 0.46) {
    const std::string unknown =
        gone_names_.empty() ? "unknown" : gone_names_[prng_.Below(gone_names_.size())];
    request.messages = {Bind(unknown, tag, true), Execute(), kSync};
    return request;
  }
  if (roll < 0.5 && requests_.empty()) {
    names_.clear();
    return Simple("deallocate all");
  }
  if (roll < 0.54) {
    names_.erase(chosen);
    return Simple("deallocate " + name);
  }
  if (roll < 0.6) {
    request.messages = {Describe('S', name),
                        Bind(name, tag, true),
                        Execute(),
                        kFlush,
                        Bind(name, tag + "b", true),
                        Execute(),
                        kSync};
    return request;
  }
  request.messages = {Bind(name, tag, true), Execute(), kSync};
  return request;
}

// Statements that SQL prepares: few names and few texts, which clients have in common.
SimClient::Request SimClient::NextFromSql() {
  const std::string name = "sql" + Number(Some(2));
  const std::string text = Roll() < 0.5 ? "same" : Tag();
  const double roll = Roll();
  if (roll < 0.3) return Simple("prepare " + name + " as select '" + text + "'");
  if (roll < 0.55) return Simple("execute " + name);
  if (roll < 0.63) return Simple("deallocate " + name);
  if (roll < 0.67) return Simple("select count(*) from pg_prepared_statements");
  if (roll < 0.7)
    return Simple("prepare " + name + " as select '" + text + "'; deallocate " + name);
  if (roll < 0.73) return Simple("execute " + name + "; select '" + text + "'");
  if (roll < 0.76 && !names_.empty()) return Simple("execute " + *names_.begin());
  Request request;
  if (roll < 0.85) {
    request.messages = {Bind(name, "", false), Execute(), kSync};
    return request;
  }
  if (roll < 0.88) {
    request.messages = {Parse(name, "select '" + text + "'"), kSync};
    return request;
  }
  if (roll < 0.9) {
    request.messages = {CloseStatement(name), kSync};
    return request;
  }
  if (roll < 0.98) return Simple("set timezone = 'v" + Number(Some(3)) + "'");
  unnamed_certain_ = false;
  const std::string sql =
      roll < 0.99 ? "prepare " + name + " as select '" + text + "'" : "execute " + name;
  request.messages = {Parse("", sql), Bind("", "", false), Execute(), kSync};
  return request;
}

// Settings.
SimClient::Request SimClient::NextSetting() {
  const double roll = Roll();
  const std::string name = Roll() < 0.5 ? "mine" : "base";
  if (roll < 0.4) return Simple(roll < 0.02 ? "show start" : "show " + name);
  // Few different values, so that clients share them.
  const std::string value = roll < 0.7 ? "v" + Number(Some(3)) : Tag();
  std::string set = "set " + name + " = '" + value + "'";
  const double how = Roll();
  if (how < 0.3) return Simple(set);
  if (how < 0.37) return Simple("set local " + name + " = '" + value + "'");
  if (how < 0.44) return Simple(set + "; select '" + Tag() + "', 1 / 0");
  if (how < 0.5) return Simple(set + "; show " + name);
  // Those that go back to what the client began with. The one behind a "; " comes in the middle.
  static constexpr std::string_view kResets[] = {"reset ", "reset all", "set ", "set local "};
  const size_t which = prng_.Below(4);
  std::string reset(kResets[which]);
  if (which != 1) reset += name;
  if (which > 1) reset += " to default";
  if (how < 0.65) return Simple(reset);
  if (how < 0.7) return Simple(reset + "; " + set);
  if (how < 0.75) return Simple(reset + "; select '" + Tag() + "'");
  if (how < 0.78) return Simple(reset + "; select '" + Tag() + "', 1 / 0");
  if (how < 0.9) set = reset;
  Request request;
  request.messages = {Parse("", set), Bind("", "", false), Execute(), kSync};
  if (Roll() < 0.5) {
    request.messages = {
        Parse("", set),      Bind("", "", false), Execute(), Parse("", "show " + name),
        Bind("", "", false), Execute(),           kSync};
  }
  unnamed_certain_ = false;
  return request;
}

// What pins, and what ends that.
SimClient::Request SimClient::NextState() {
  const double roll = Roll();
  Request request;
  if (roll < 0.04) {
    request = Simple("load '" + Tag() + "'");
  } else if (roll < 0.08) {
    request.messages = {{'F', U32(1) + std::string(6, '\0')}};
  } else if (roll < 0.12) {
    // In a block or a failed transaction it is an error.
    request = Simple("discard all");
    names_.clear();
    unnamed_certain_ = false;
  } else {
    const std::string which = Number(Some(2));
    const std::string begins[] = {"create temp table tmp" + which + " (tag text)",
                                  "select pg_advisory_lock(" + which + ")", "listen c" + which,
                                  "prepare sql" + which + " as select '" + Tag() + "'"};
    const std::string ends[] = {"drop table tmp" + which,
                                "select pg_advisory_unlock(" + which + ")", "unlisten c" + which,
                                "deallocate sql" + which};
    const std::string looks[] = {
        "drop table tmp" + which, "select pg_advisory_unlock(" + which + ")",
        "select count(*) from pg_listening_channels()", "execute sql" + which};
    const auto kind = static_cast<size_t>(Some(4)) % 4;
    const double how = Roll();
    request = Simple(how < 0.4    ? begins[kind]
                     : how < 0.5  ? begins[kind] + "; " + ends[kind]
                     : how < 0.6  ? begins[kind] + "; select '" + Tag() + "', 1 / 0"
                     : how < 0.85 ? ends[kind]
                                  : looks[kind]);
  }
  request.pins = true;
  return request;
}

SimClient::Request SimClient::NextCopy() {
  const std::string tag = Tag();
  if (Roll() < 0.4) {
    return Simple("copy (select '" + tag + "' from generate_series(1, " + Number(Some(50)) +
                  ")) to stdout");
  }
  Request request = Simple("copy t from stdin -- '" + tag + "'");
  request.rows = static_cast<int>(Some(5));
  for (int i = 0; i < request.rows; ++i) request.messages.push_back({'d', tag + "\n"});
  if (Roll() < 0.2) {
    // The server ends it in the middle; what is still on the way means nothing.
    request.messages.push_back({'d', "broken\n"});
    for (int64_t i = Some(12); i > 0; --i)
      request.messages.push_back({'d', std::string(options_.large, 'x')});
    request.messages.push_back({'c', {}});
    return request;
  }
  request.messages.push_back(Roll() < 0.8 ? PgMessage{'c', {}} : PgMessage{'f', Z("no more")});
  if (request.messages.back().type == 'c') request.inserts = tag;
  return request;
}

}  // namespace weir::sim
