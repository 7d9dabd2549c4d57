#include "protocol/postgres/catalogue.h"

#include <algorithm>
#include <iterator>

#include "engine/base/check.h"
#include "protocol/postgres/function_source.h"
#include "protocol/postgres/harmless_functions.h"

namespace weir::postgres {
namespace {

bool Interpreted(std::string_view language) { return language == "sql" || language == "plpgsql"; }

// The server may know it by another spelling: it folds and cuts such names by its encoding.
bool MaySpellAnother(std::string_view name) {
  return name.size() >= SqlLexer::kTextMax ||
         std::any_of(name.begin(), name.end(), [](char c) { return (c & 0x80) != 0; });
}

CallEffect EffectOfUnlisted(std::string_view name, bool is_built_in) {
  if (is_built_in || FamilyOf(name) != FunctionFamily::kUnknown) return EffectOfBuiltIn(name);
  CallEffect effect;
  if (MaySpellAnother(name)) effect.effect = Effect::kOpaque;
  return effect;
}

}  // namespace

CallEffect Catalogue::EffectOfCall(std::string_view name) const {
  CallEffect effect = EffectOfUnlisted(name, unlisted_.contains(name));
  if (const CallEffect* users = Find(name); users != nullptr) effect.Merge(*users);
  return effect;
}

std::string Catalogue::CallOf(uint32_t function) const {
  const auto found = std::lower_bound(oids_.begin(), oids_.end(), std::pair(function, uint32_t{0}));
  if (found == oids_.end() || found->first != function) return {};
  std::string call = function < kFirstOidOfUsers ? "SELECT pg_catalog.\"" : "SELECT \"";
  for (const char* c = oid_names_.c_str() + found->second; *c != 0; ++c)
    call.append(*c == '"' ? 2 : 1, *c);
  return call.append("\"()");
}

CallEffect Catalogue::EffectOfBlock(std::string_view source, bool ascii_trailing_bytes) const {
  const SourceFacts facts = FactsOfSource(source, ascii_trailing_bytes);
  CallEffect effect = facts.effect;
  for (const std::string& call : facts.calls) effect.Merge(EffectOfCall(call));
  return effect;
}

void CatalogueBuilder::AddBuiltIn(uint32_t oid, std::string_view name) {
  built_in_oids_.emplace_back(oid, static_cast<uint32_t>(built_in_names_.size()));
  built_in_names_.append(name).push_back('\0');
  if (FamilyOf(name) == FunctionFamily::kUnknown) unlisted_.emplace(name);
}

uint32_t CatalogueBuilder::NameOf(std::string_view text) {
  if (const auto found = name_index_.find(text); found != name_index_.end()) return found->second;
  const auto index = static_cast<uint32_t>(names_.size());
  const auto added = name_index_.emplace(text, index).first;
  names_.emplace_back().text = added->first;
  return index;
}

void CatalogueBuilder::AddFunction(const FunctionRow& row, bool ascii_trailing_bytes) {
  const auto index = static_cast<uint32_t>(functions_.size());
  if (!by_oid_.emplace(row.oid, index).second) return;
  Function& function = functions_.emplace_back();
  function.oid = row.oid;
  function.name = NameOf(row.name);
  function.attribute = row.attribute;
  names_[function.name].users = true;
  std::vector<std::string> calls;
  const auto take = [&](std::string_view source) {
    SourceFacts facts = FactsOfSource(source, ascii_trailing_bytes);
    function.effect.Merge(facts.effect);
    std::move(facts.calls.begin(), facts.calls.end(), std::back_inserter(calls));
    std::move(facts.settings.begin(), facts.settings.end(), std::back_inserter(settings_));
  };
  if (row.aggregate) {
    // The users' among them are its edges.
    for (const std::string& part : FactsOfSource(row.source).calls)
      function.effect.Merge(EffectOfHiddenBuiltIn(part));
  } else if (Interpreted(row.language)) {
    take(row.source);
    if (!row.source_known) function.effect.AtLeast(Effect::kUnaskable);
  } else {
    function.effect.effect =
        row.language == "c" ? EffectOfExtension(row.extension) : Effect::kUnaskable;
    function.effect.acts = ActsFunction(row.name);
  }
  take(row.defaults);
  for (const std::string& call : calls) function.calls.push_back(NameOf(call));
  calls_ += calls.size();
}

void CatalogueBuilder::AddUseOfBuiltIn(Scope scope, std::string_view name) {
  built_in_uses_[static_cast<size_t>(scope)].Merge(EffectOfHiddenBuiltIn(name));
}

// What the function does now counts for its name, and for those that call it.
void CatalogueBuilder::Spread(uint32_t index, std::vector<uint32_t>& queue) {
  const auto take = [&](uint32_t other, const CallEffect& effect) {
    Function& caller = functions_[other];
    const CallEffect before = caller.effect;
    caller.effect.Merge(effect);
    if (caller.effect == before || caller.queued) return;
    caller.queued = true;
    queue.push_back(other);
  };
  const CallEffect effect = functions_[index].effect;
  for (const uint32_t other : functions_[index].used_by) take(other, effect);
  Name& name = names_[functions_[index].name];
  const CallEffect before = name.effect;
  name.effect.Merge(effect);
  if (name.effect == before) return;
  for (const uint32_t other : name.callers) take(other, name.effect);
}

// Until nothing changes any more: an effect only grows, so that each function comes up few times.
void CatalogueBuilder::CloseEffects() {
  for (const auto& [from, to] : edges_) {
    const auto function = by_oid_.find(from);
    const auto other = by_oid_.find(to);
    if (function != by_oid_.end() && other != by_oid_.end())
      functions_[other->second].used_by.push_back(function->second);
  }
  std::vector<uint32_t> queue;
  for (uint32_t i = 0; i < functions_.size(); ++i) {
    Function& function = functions_[i];
    for (const uint32_t call : function.calls) {
      names_[call].callers.push_back(i);
      const std::string_view name = names_[call].text;
      function.effect.Merge(EffectOfUnlisted(name, unlisted_.contains(name)));
    }
    function.queued = true;
    queue.push_back(i);
  }
  while (!queue.empty()) {
    const uint32_t index = queue.back();
    queue.pop_back();
    functions_[index].queued = false;
    Spread(index, queue);
  }
}

void CatalogueBuilder::JudgeUnseen(Catalogue& catalogue) const {
  CallEffect* const unseen = catalogue.unseen_;
  const auto merge = [&](Scope scope, const CallEffect& effect) {
    unseen[static_cast<size_t>(scope)].Merge(effect);
  };
  for (const auto& [scope, oid] : uses_) {
    // One that was made since its row was asked for: the next reading will know.
    const auto found = by_oid_.find(oid);
    if (found != by_oid_.end()) merge(scope, functions_[found->second].effect);
  }
  for (size_t i = 0; i < kScopes; ++i) merge(static_cast<Scope>(i), built_in_uses_[i]);
  for (const Function& function : functions_) {
    if (function.attribute) merge(Scope::kAll, function.effect);
  }
  // A trigger may make what another trigger is for.
  for (size_t i = 0; i < kScopes; ++i) {
    if (unseen[i].writes) merge(static_cast<Scope>(i), catalogue.Unseen(Scope::kWrites));
    if (unseen[i].ddl) merge(static_cast<Scope>(i), catalogue.Unseen(Scope::kDdl));
  }
}

void CatalogueBuilder::NameOids(Catalogue& catalogue) {
  catalogue.oids_ = std::move(built_in_oids_);
  catalogue.oid_names_ = std::move(built_in_names_);
  std::vector<uint32_t> places(names_.size(), UINT32_MAX);
  for (const Function& function : functions_) {
    uint32_t& place = places[function.name];
    if (place == UINT32_MAX) {
      place = static_cast<uint32_t>(catalogue.oid_names_.size());
      catalogue.oid_names_.append(names_[function.name].text).push_back('\0');
    }
    catalogue.oids_.emplace_back(function.oid, place);
  }
  std::sort(catalogue.oids_.begin(), catalogue.oids_.end());
  catalogue.oids_.shrink_to_fit();
  catalogue.oid_names_.shrink_to_fit();
}

std::unique_ptr<Catalogue> CatalogueBuilder::Build(std::string fingerprint) {
  CloseEffects();
  auto catalogue = std::make_unique<Catalogue>();
  for (const Name& name : names_) {
    if (!name.users) continue;
    CallEffect effect = name.effect;
    if (unlisted_.contains(name.text)) effect.Merge(EffectOfBuiltIn(name.text));
    catalogue->users_.emplace(name.text, effect);
  }
  JudgeUnseen(*catalogue);
  NameOids(*catalogue);
  std::sort(settings_.begin(), settings_.end());
  settings_.erase(std::unique(settings_.begin(), settings_.end()), settings_.end());
  catalogue->custom_settings_ = std::move(settings_);
  catalogue->unlisted_ = std::move(unlisted_);
  catalogue->fingerprint_ = std::move(fingerprint);
  return catalogue;
}

}  // namespace weir::postgres
