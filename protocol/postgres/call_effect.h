// What running some code may do to the session, beyond its result.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace weir::postgres {

// kOpaque: changes that the session can be asked about afterwards (settings, temporary objects,
// advisory locks, cursors WITH HOLD, LISTEN, prepared statements). kUnaskable: others.
enum class Effect : uint8_t { kHarmless, kOpaque, kUnaskable };

struct CallEffect {
  Effect effect = Effect::kHarmless;
  bool writes_sequence = false;  // currval may be readable afterwards
  bool reads_sequence = false;   // currval, lastval
  bool writes = false;           // may change tables: triggers may run
  bool ddl = false;              // may change the catalogue
  bool acts = false;             // does something that is not in the session (pg_notify), or waits

  bool operator==(const CallEffect&) const = default;
  void Merge(const CallEffect& other) {
    effect = std::max(effect, other.effect);
    writes_sequence = writes_sequence || other.writes_sequence;
    reads_sequence = reads_sequence || other.reads_sequence;
    writes = writes || other.writes;
    ddl = ddl || other.ddl;
    acts = acts || other.acts;
  }
  void AtLeast(Effect other) { effect = std::max(effect, other); }
};

// Of a built-in function, by name.
CallEffect EffectOfBuiltIn(std::string_view name);

// The same where no text names it (in a view, an operator, an aggregate): one that is on no list of
// ours counts as harmless there.
CallEffect EffectOfHiddenBuiltIn(std::string_view name);

// Of a function in C of an extension.
Effect EffectOfExtension(std::string_view extension);

}  // namespace weir::postgres
