#include "protocol/auth/credentials_file.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

#include "engine/base/text.h"

namespace weir::protocol {
namespace {

using engine::Cat;

constexpr std::string_view kBlank = " \t\r\v\f";
constexpr size_t kValueBytesMax = size_t{16} * 1024;

std::string_view Trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

// A '#' or ';' behind a blank begins a comment.
std::string_view WithoutComment(std::string_view text) {
  for (size_t i = 1; i < text.size(); ++i) {
    if ((text[i] == '#' || text[i] == ';') && kBlank.find(text[i - 1]) != std::string_view::npos)
      return text.substr(0, i);
  }
  return text;
}

// What a key id or a secret is made of.
bool IsPlain(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c < '\x7f' && c != '"' && c != '\'' && c != '\\';
  });
}

class Reader {
 public:
  absl::StatusOr<std::vector<CredentialsEntry>> Read(std::string_view text) {
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    for (line_ = 1; !text.empty() && error_.empty(); ++line_) {
      const size_t end = text.find('\n');
      OnLine(text.substr(0, end));
      text.remove_prefix(std::min(text.size(), end == std::string_view::npos ? end : end + 1));
    }
    if (error_.empty()) EndSection();
    if (!error_.empty()) return absl::InvalidArgumentError(error_);
    return std::move(entries_);
  }

 private:
  void FailAt(size_t line, std::string_view error) {
    if (error_.empty()) error_ = Cat("line ", line, ": ", error);
  }
  void Fail(std::string_view error) { FailAt(line_, error); }

  void OnLine(std::string_view line) {
    if (line.find('\0') != std::string_view::npos) {
      Fail("a NUL character");
      return;
    }
    const std::string_view text = Trimmed(line);
    if (text.empty() || text[0] == '#' || text[0] == ';') return;
    const size_t indent = line.find_first_not_of(kBlank);
    // Deeper than the setting above it: a part of that.
    if (after_setting_ && indent > indent_) {
      if (after_ours_) Fail("a value of several lines");
      return;
    }
    if (text[0] == '[') {
      OnSection(text);
    } else {
      indent_ = indent;
      OnSetting(text);
    }
  }

  void OnSection(std::string_view text) {
    EndSection();
    text = Trimmed(WithoutComment(text));
    if (!text.ends_with(']')) {
      Fail("a section is [name]");
      return;
    }
    const std::string name(Trimmed(text.substr(1, text.size() - 2)));
    if (name.empty()) {
      Fail("a section without a name");
      return;
    }
    const auto [found, fresh] = sections_.emplace(name, line_);
    if (!fresh) {
      Fail(Cat("the section [", engine::Visible(name), "] begins on line ", found->second,
               " already"));
      return;
    }
    in_section_ = true;
    section_line_ = line_;
    after_setting_ = after_ours_ = false;
    entry_ = {};
    entry_.name = name;
    lines_[0] = lines_[1] = lines_[2] = 0;
  }

  void OnSetting(std::string_view text) {
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) {
      Fail("neither a section nor name = value");
      return;
    }
    if (!in_section_) {
      Fail("a setting before the first section");
      return;
    }
    after_setting_ = true;
    after_ours_ = false;
    std::string name(Trimmed(text.substr(0, equals)));
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    std::string* const places[] = {&entry_.key.id, &entry_.key.secret, &entry_.key.session_token};
    for (size_t i = 0; i < std::size(kNames); ++i) {
      if (name != kNames[i]) continue;
      const std::string_view value = Trimmed(WithoutComment(text.substr(equals + 1)));
      after_ours_ = true;
      if (lines_[i] != 0) {
        Fail(Cat(kNames[i], " stands on line ", lines_[i], " of this section already"));
      } else if (!IsPlain(value) || value.size() > kValueBytesMax) {
        Fail(Cat(kNames[i], ": empty, or with characters that no key has"));
      } else if (i == 0 && value.find('/') != std::string_view::npos) {
        Fail(Cat(kNames[i], ": a key id has no '/' (are the two values exchanged?)"));
      }
      lines_[i] = line_;
      *places[i] = std::string(value);
    }
  }

  void EndSection() {
    if (!in_section_ || !error_.empty()) return;
    in_section_ = false;
    if (lines_[0] == 0 && lines_[1] == 0) {
      if (lines_[2] != 0) FailAt(lines_[2], "aws_session_token without a key");
      return;
    }
    for (size_t i = 0; i < 2; ++i) {
      if (lines_[i] == 0) {
        FailAt(section_line_, Cat("the section lacks ", kNames[i]));
        return;
      }
    }
    const auto [found, fresh] = ids_.emplace(entry_.key.id, lines_[0]);
    if (!fresh) {
      FailAt(lines_[0], Cat("the key id of line ", found->second));
      return;
    }
    entries_.push_back(std::move(entry_));
  }

  static constexpr std::string_view kNames[] = {"aws_access_key_id", "aws_secret_access_key",
                                                "aws_session_token"};

  size_t line_ = 0;
  bool in_section_ = false;
  bool after_setting_ = false;  // of the section at hand: deeper lines belong to it
  bool after_ours_ = false;     // and it is one of kNames
  size_t indent_ = 0;           // of that setting
  size_t section_line_ = 0;
  size_t lines_[3] = {};  // where kNames stand in the section at hand; 0: nowhere
  CredentialsEntry entry_;
  std::map<std::string, size_t> sections_;
  std::map<std::string, size_t> ids_;
  std::vector<CredentialsEntry> entries_;
  std::string error_;
};

}  // namespace

absl::StatusOr<std::vector<CredentialsEntry>> ParseCredentialsFile(std::string_view text) {
  return Reader().Read(text);
}

}  // namespace weir::protocol
