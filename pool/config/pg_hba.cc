#include "pool/config/pg_hba.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "engine/base/text.h"

namespace weir::pool {
namespace {

using engine::Cat;
using engine::Visible;

struct Token {
  std::string text;
  bool quoted = false;  // from its first character on: then it is no keyword
  bool Is(std::string_view keyword) const { return !quoted && text == keyword; }
};
// A list: tokens with commas between them.
using Field = std::vector<Token>;

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

// Cuts a line into fields, as PostgreSQL's next_token does.
class LineReader {
 public:
  explicit LineReader(std::string_view line) : left_(line) {}

  // False: the line has no more.
  bool Next(Field& field) {
    field.clear();
    bool more = true;
    while (more) {
      Token token;
      more = false;
      if (!NextToken(token, more)) break;
      field.push_back(std::move(token));
    }
    return !field.empty();
  }
  bool open_quote() const { return open_quote_; }

 private:
  bool NextToken(Token& token, bool& comma) {
    while (!left_.empty() && (IsBlank(left_[0]) || left_[0] == ',')) left_.remove_prefix(1);
    bool was_quote = false;
    bool saw_quote = false;
    bool in_quote = false;
    for (; !left_.empty() && (in_quote || !IsBlank(left_[0])); left_.remove_prefix(1)) {
      const char c = left_[0];
      if (c == '#' && !in_quote) {
        left_ = {};
        break;
      }
      if (c == ',' && !in_quote) {
        comma = true;
        break;
      }
      if (c != '"' || was_quote) token.text.push_back(c);
      // Two quotes within quotes are one.
      was_quote = in_quote && c == '"' ? !was_quote : false;
      if (c == '"') {
        in_quote = !in_quote;
        saw_quote = true;
        if (token.text.empty()) token.quoted = true;
      }
    }
    open_quote_ = open_quote_ || in_quote;
    return saw_quote || !token.text.empty();
  }

  std::string_view left_;
  bool open_quote_ = false;  // some quote is not closed
};

class FileReader {
 public:
  explicit FileReader(std::string_view name) : name_(name) {}

  PgHba Read(std::string_view text) {
    for (size_t line = 1; !text.empty();) {
      first_line_ = line;
      std::string joined;
      for (bool more = true; more && !text.empty(); ++line) {
        const size_t end = text.find('\n');
        std::string_view one = text.substr(0, end);
        text.remove_prefix(std::min(text.size(), end == std::string_view::npos ? end : end + 1));
        while (one.ends_with('\r')) one.remove_suffix(1);
        more = one.ends_with('\\');
        if (more) one.remove_suffix(1);
        joined += one;
      }
      OnLine(joined);
    }
    return std::move(out_);
  }

 private:
  bool Fail(std::string_view error) {
    out_.errors.push_back(Cat("line ", first_line_, ": ", error));
    return false;
  }

  void OnLine(std::string_view line) {
    if (line.find('\0') != std::string_view::npos) {
      Fail("a NUL character");
      return;
    }
    LineReader reader(line);
    std::vector<Field> fields;
    for (Field field; reader.Next(field);) fields.push_back(field);
    if (fields.empty()) return;
    if (reader.open_quote()) {
      Fail("a quote is not closed");
      return;
    }
    AccessRule rule;
    rule.place = Cat(name_, " line ", first_line_);
    if (ReadRule(fields, rule)) out_.rules.push_back(std::move(rule));
  }

  bool ReadRule(const std::vector<Field>& fields, AccessRule& rule) {
    if (!ReadKind(fields[0], rule)) return false;
    size_t at = 1;
    if (fields.size() <= at) return Fail("the line ends before the database");
    if (!ReadDatabases(fields[at++], rule.databases)) return false;
    if (fields.size() <= at) return Fail("the line ends before the user");
    if (!ReadUsers(fields[at++], rule.users)) return false;
    if (rule.address.kind != AccessAddress::Kind::kUnix && !ReadAddress(fields, at, rule.address))
      return false;
    if (fields.size() <= at) return Fail("the line ends before the method");
    if (!ReadMethod(fields[at++], rule)) return false;
    if (fields.size() > at) {
      return Fail(Cat("the option \"", Visible(fields[at][0].text),
                      "\" cannot be honoured: weir takes methods without options"));
    }
    return true;
  }

  bool ReadKind(const Field& field, AccessRule& rule) {
    const Token& kind = field[0];
    if (field.size() > 1) return Fail("more than one kind of connection");
    for (const std::string_view include : {"include", "include_if_exists", "include_dir"}) {
      if (kind.Is(include)) return Fail(Cat(include, " cannot be honoured: write the lines here"));
    }
    rule.address.kind = AccessAddress::Kind::kAnyHost;
    if (kind.text == "local") {
      rule.address.kind = AccessAddress::Kind::kUnix;
    } else if (kind.text == "hostssl") {
      rule.tls = AccessTls::kRequired;
    } else if (kind.text == "hostnossl") {
      rule.tls = AccessTls::kNone;
    } else if (kind.text == "hostgssenc") {
      return Fail("hostgssenc cannot be honoured: weir does not speak GSSAPI");
    } else if (kind.text != "host" && kind.text != "hostnogssenc") {
      return Fail(Cat("unknown kind of connection \"", Visible(kind.text),
                      "\": expected local, host, hostssl or hostnossl"));
    }
    return true;
  }

  // What a name must not be, for users and databases alike.
  bool CheckName(const Token& token) {
    if (token.text.size() > 1 && token.text[0] == '@' && !token.quoted)
      return Fail(Cat("\"", Visible(token.text),
                      "\": a file of names cannot be honoured: write them here"));
    if (token.text.starts_with('/'))
      return Fail(Cat("\"", Visible(token.text), "\": a regular expression cannot be honoured"));
    return true;
  }

  bool ReadDatabases(const Field& field, AccessNames& out) {
    for (const Token& token : field) {
      if (!CheckName(token)) return false;
      if (token.Is("samerole") || token.Is("samegroup"))
        return Fail(Cat(token.text, " cannot be honoured: weir does not know the server's groups"));
      if (token.Is("all")) {
        out.all = true;
      } else if (token.Is("sameuser")) {
        out.same_user = true;
      } else if (token.Is("replication")) {
        out.replication = true;
      } else {
        out.names.push_back(token.text);
      }
    }
    return true;
  }

  bool ReadUsers(const Field& field, AccessNames& out) {
    for (const Token& token : field) {
      if (!CheckName(token)) return false;
      if (token.text.starts_with('+') && !token.quoted) {
        return Fail(Cat("\"", Visible(token.text),
                        "\" cannot be honoured: weir does not know the server's groups"));
      }
      if (token.Is("all")) {
        out.all = true;
      } else {
        out.names.push_back(token.text);
      }
    }
    return true;
  }

  bool ReadAddress(const std::vector<Field>& fields, size_t& at, AccessAddress& out) {
    if (fields.size() <= at) return Fail("the line ends before the address");
    const Field& field = fields[at++];
    if (field.size() > 1) return Fail("more than one address");
    const Token& token = field[0];
    if (token.Is("all")) return true;
    if (token.Is("samehost") || token.Is("samenet")) {
      return Fail(Cat(token.text, " cannot be honoured: write the addresses"));
    }
    const bool has_prefix = token.text.find('/') != std::string::npos;
    const std::optional<HostAddress> address =
        HostAddress::Parse(std::string_view(token.text).substr(0, token.text.find('/')));
    if (!address || token.text.starts_with('[')) {
      return Fail(Cat("\"", Visible(token.text),
                      "\" is no numeric address; host names cannot be honoured"));
    }
    if (has_prefix) {
      absl::StatusOr<AccessAddress> network = AccessAddress::Parse(token.text);
      if (!network.ok()) return Fail(std::string(network.status().message()));
      out = *network;
      return true;
    }
    if (fields.size() <= at) return Fail("the line ends before the netmask");
    const Field& mask_field = fields[at++];
    const std::optional<HostAddress> mask = HostAddress::Parse(mask_field[0].text);
    if (mask_field.size() > 1 || !mask || mask->v6 != address->v6) {
      return Fail(
          Cat("\"", Visible(mask_field[0].text),
              "\" is no netmask for the address before it (or write its prefix: address/32)"));
    }
    out = {AccessAddress::Kind::kNetwork, *address, *mask};
    return true;
  }

  bool ReadMethod(const Field& field, AccessRule& rule) {
    if (field.size() > 1) return Fail("more than one method");
    const std::string& method = field[0].text;
    if (method == "trust") {
      rule.method = AccessMethod::kTrust;
    } else if (method == "reject") {
      rule.method = AccessMethod::kReject;
    } else if (method == "scram-sha-256") {
      rule.method = AccessMethod::kScram;
    } else if (method == "md5") {
      rule.method = AccessMethod::kPassword;
    } else if (method == "cert") {
      rule.method = AccessMethod::kCertificate;
      if (rule.tls != AccessTls::kRequired) return Fail("cert is for hostssl lines only");
    } else if (method == "password") {
      return Fail(
          "password cannot be honoured: weir asks for no password in clear text; write md5 or "
          "scram-sha-256");
    } else {
      return Fail(Cat("the method \"", Visible(method),
                      "\" cannot be honoured: there are trust, reject, scram-sha-256, md5, cert"));
    }
    return true;
  }

  const std::string name_;
  size_t first_line_ = 1;
  PgHba out_;
};

}  // namespace

PgHba ParsePgHba(std::string_view text, std::string_view name) {
  return FileReader(name).Read(text);
}

}  // namespace weir::pool
