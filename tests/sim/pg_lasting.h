// What a session holds beyond its settings, until it is told otherwise: temporary tables,
// advisory locks, channels it listens to, loaded libraries.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

namespace weir::sim {

class PgLasting {
 public:
  struct Reply {
    std::string tag = {};    // of CommandComplete
    std::string value = {};  // of the row that comes before it, if `row`
    bool row = false;
    std::string code = {};  // of an error, not empty if it has failed
    std::string text = {};
  };
  // nullopt: a statement about something else.
  std::optional<Reply> Run(const std::string& sql);
  // One column for each thing that is asked for (PinQuestion). `own_names`: there are prepared
  // statements under a client's own names.
  std::vector<std::string> Answer(const std::string& question, bool own_names) const;

  void Begin() { before_ = tables_and_channels_; }
  void Rollback() { tables_and_channels_ = before_; }
  void DiscardAll();
  // Nothing of it is left when its session has ended.
  void End() { *this = {}; }
  bool empty() const { return tables_and_channels_.empty() && locks_.empty() && !loaded_; }

 private:
  bool HasKind(const std::string& kind) const;

  std::set<std::string> tables_and_channels_;  // "table a", "channel a"
  std::set<std::string> before_;               // the transaction
  std::multiset<std::string> locks_;
  bool loaded_ = false;
};

}  // namespace weir::sim
