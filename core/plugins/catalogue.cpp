#include "core/plugins/catalogue.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "core/plugins/compatibility.hpp"
#include "core/plugins/discovery.hpp"
#include "core/plugins/library.hpp"
#include "core/plugins/lock.hpp"
#include "core/plugins/probe.hpp"
#include "core/plugins/process_state.hpp"
#include "zstar/guard.hpp"
#include "zstar/nearest.hpp"

namespace zstar::plugins {
namespace fs = std::filesystem;
namespace {

constexpr std::array<std::string_view, 6> kind_names{"solver", "gradient", "norm", "regularizer", "model", "dataset"};

}  // namespace

std::string_view to_string(Kind kind) { return kind_names[static_cast<std::size_t>(kind)]; }

std::optional<Kind> kind_of(std::string_view word) {
  for (std::size_t i = 0; i < kind_names.size(); ++i)
    if (kind_names[i] == word) return static_cast<Kind>(i);
  return std::nullopt;
}

struct Catalogue::Impl {
  explicit Impl(const Discovery& d) : discovery(d), mapped(mapped_libraries()) {}

  Discovery discovery;
  std::vector<std::string> mapped;
  std::vector<FileEntry> files;
  std::vector<FileTag> tags;  // of files, same index
  std::vector<PartEntry> parts;
  struct Loaded {
    Library library;
    UsedPlugin record;  // its parts are in `used`
  };
  std::map<std::size_t, Loaded> loaded;
  std::map<std::pair<std::size_t, const Factory*>, std::vector<OptSpec>> options;
  std::set<std::pair<std::size_t, std::string>> used;  // file, "solver anderson"
  std::vector<std::string> warnings;
  std::optional<Lock> lock;
  std::vector<Pin> pins;

  void scan(const fs::path& folder);
  void add(const fs::path& path, const fs::path& folder);
  bool trusted(const fs::path& file, const fs::path& folder) const {
    return std::find(discovery.files.begin(), discovery.files.end(), file) != discovery.files.end() || std::find(discovery.trusted.begin(), discovery.trusted.end(), folder) != discovery.trusted.end();
  }
  void refuse(FileEntry& entry, const Refusal& refusal) {
    entry.refused_code = refusal.code;
    entry.refused = refusal.message(entry.path.string());
  }
  bool usable(const FileEntry& f) const { return f.refused.empty() && f.shadowed_by.empty(); }
  const PartEntry& find(Kind kind, std::string_view name) const;
  [[noreturn]] void unknown(Kind kind, std::string_view name) const;
  UsedPlugin record_of(std::size_t file, const HeldFile& held) const;
  void admit(std::size_t file, const UsedPlugin& record) const;
  const Library& library(std::size_t file);
  const Factory& factory(const PartEntry& part);
};

void Catalogue::Impl::scan(const fs::path& folder) {
  const std::size_t first = files.size();
  for (const fs::path& file : plugin_files(folder)) add(file, folder);
  for (std::size_t i = first; i < files.size(); ++i) {
    if (!files[i].refused.empty()) continue;  // neither shadows nor is shadowed
    for (std::size_t j = 0; j < i; ++j) {
      if (files[j].id != files[i].id || !files[j].shadowed_by.empty()) continue;
      if (j < first && files[j].refused.empty()) files[i].shadowed_by = files[j].path.string();
      else if (j >= first && (files[j].refused.empty() || files[j].refused_code == "Z131"))
        for (const std::size_t k : {i, j})
          refuse(files[k], {"Z131", "plugin id '" + files[i].id + "' twice in one folder: also in " + files[k == i ? j : i].path.string(),
                            "", "remove one of the two"});
    }
  }
}

void Catalogue::Impl::add(const fs::path& path, const fs::path& folder) {
  FileEntry entry;
  entry.path = path;
  std::error_code error;
  entry.resolved = fs::canonical(path, error);
  FileTag tag;
  auto read = read_tag(path);
  if (auto* refusal = std::get_if<Refusal>(&read)) {
    refuse(entry, *refusal);
  } else {
    tag = std::move(std::get<FileTag>(read));
    for (const FileTag& other : tags)
      if (tag.inode != 0 && tag.inode == other.inode && tag.device == other.device) return;  // the same file again
    entry.id = value_of(tag.ident, "id");
    entry.version = value_of(tag.ident, "version");
    entry.doc = value_of(tag.ident, "doc");
    entry.tag = tag.ident;
    if (auto refusal = incompatibility(tag, own_lines(), mapped)) refuse(entry, *refusal);
    else if (!trusted(path, folder) && !of_installation(entry.resolved))  // who may change that could change the program
      for (const fs::path& place : {folder, entry.resolved.parent_path(), entry.resolved})
        if (auto refusal = distrust(place)) refuse(entry, *refusal);
  }
  for (const Lines& part : tag.provides)
    if (const auto kind = kind_of(value_of(part, "kind")))
      parts.push_back({*kind, value_of(part, "name"), value_of(part, "doc"), files.size()});
  files.push_back(std::move(entry));
  tags.push_back(std::move(tag));
}

void Catalogue::Impl::unknown(Kind kind, std::string_view name) const {
  const std::size_t colon = name.find(':');
  std::vector<std::string> all, of_other_ids;
  for (const PartEntry& p : parts) {
    if (p.kind != kind || !usable(files[p.file])) continue;
    all.push_back(p.name);
    if (colon != std::string_view::npos && p.name == name.substr(colon + 1)) of_other_ids.push_back(files[p.file].id + ":" + p.name);
  }
  std::sort(all.begin(), all.end());
  std::string message = "unknown " + std::string(to_string(kind)) + " '" + std::string(name) + "' [Z136]";
  message += "\n  expected: " + (all.empty() ? "one of the plugins found, which are none" : quoted(all));
  if (const auto near = of_other_ids.empty() ? nearest(name.substr(colon + 1), all) : of_other_ids; !near.empty()) message += "\n  did you mean: " + quoted(near) + "?";
  message += "\n  remedy: 'zstar plugins list' shows what was found, 'zstar doctor' where";
  throw PluginError("Z136", message);
}

const PartEntry& Catalogue::Impl::find(Kind kind, std::string_view name) const {
  const std::size_t colon = name.find(':');
  const std::string_view id = colon == std::string_view::npos ? "" : name.substr(0, colon);
  const std::string_view bare = colon == std::string_view::npos ? name : name.substr(colon + 1);
  std::vector<const PartEntry*> found, refused;
  for (const PartEntry& p : parts)
    if (p.kind == kind && p.name == bare && (id.empty() || files[p.file].id == id) && files[p.file].shadowed_by.empty())
      (files[p.file].refused.empty() ? found : refused).push_back(&p);
  if (found.empty() && !refused.empty()) throw PluginError(files[refused[0]->file].refused_code, files[refused[0]->file].refused);
  if (found.empty()) unknown(kind, name);
  if (found.size() > 1) {
    std::vector<std::string> choices;
    for (const PartEntry* p : found) choices.push_back(files[p->file].id + ":" + p->name);
    throw PluginError("Z132", std::string(to_string(kind)) + " '" + std::string(bare) + "' is offered by several plugins [Z132]" +
                                  "\n  remedy: write one of " + quoted(choices));
  }
  return *found[0];
}

UsedPlugin Catalogue::Impl::record_of(std::size_t file, const HeldFile& held) const {
  const Lines& tag = tags[file].ident;
  return {value_of(tag, "id"), value_of(tag, "version"), value_of(tag, "abi"), value_of(tag, "sdk"), value_of(tag, "torch"),
          files[file].path.filename().string(), held.sha256(), held.size(), {}};
}

/// The allow list, the lock and the pins.
void Catalogue::Impl::admit(std::size_t file, const UsedPlugin& record) const {
  const std::string name = files[file].path.string();
  if (discovery.allowed && std::find(discovery.allowed->begin(), discovery.allowed->end(), record.sha256) == discovery.allowed->end())
    throw Refusal{"Z141", "SHA-256 " + record.sha256 + " is not on the list of allowed files", "", "add it to [plugins] allow of your configuration, or use a file that is"}.error(name);
  if (lock)
    if (const auto refusal = difference(*lock, record)) throw refusal->error(name);
  for (const Pin& pin : pins)
    if (const auto refusal = difference(pin, record)) throw refusal->error(name);
}

const Library& Catalogue::Impl::library(std::size_t file) {
  if (const auto it = loaded.find(file); it != loaded.end()) return it->second.library;
  const HeldFile held(files[file].resolved);
  UsedPlugin record = record_of(file, held);
  admit(file, record);
  if (!discovery.probe.program.empty() && !of_installation(files[file].resolved)) probe_once(held, discovery.probe);
  Library result = load(held, tags[file]);
  for (const std::string& w : result.warnings) warnings.push_back(files[file].path.string() + ": warning: " + w);
  return loaded.emplace(file, Loaded{std::move(result), std::move(record)}).first->second.library;
}

const Factory& Catalogue::Impl::factory(const PartEntry& part) {
  for (const Factory* f : library(part.file).factories)
    if (f->kind == part.kind && f->name == part.name) {
      used.insert({part.file, std::string(to_string(part.kind)) + " " + part.name});
      return *f;
    }
  throw std::logic_error("a part that its table was checked to hold is gone");
}

Catalogue::Catalogue(const Discovery& discovery) : impl_(std::make_unique<Impl>(discovery)) {
  for (const fs::path& file : discovery.files) impl_->add(file, file.parent_path());
  for (const fs::path& folder : search_folders(discovery)) impl_->scan(folder);
}
Catalogue::~Catalogue() = default;
Catalogue::Catalogue(Catalogue&&) noexcept = default;

const std::vector<FileEntry>& Catalogue::files() const { return impl_->files; }
const std::vector<PartEntry>& Catalogue::parts() const { return impl_->parts; }
const std::vector<std::string>& Catalogue::warnings() const { return impl_->warnings; }

std::vector<std::string> Catalogue::names(Kind kind) const {
  std::set<std::string> names;
  for (const PartEntry& p : impl_->parts)
    if (p.kind == kind && impl_->usable(impl_->files[p.file])) names.insert(p.name);
  return {names.begin(), names.end()};
}

const std::vector<OptSpec>& Catalogue::options(Kind kind, std::string_view name) {
  const PartEntry& part = impl_->find(kind, name);
  const Factory& factory = impl_->factory(part);
  auto& specs = impl_->options[{part.file, &factory}];
  if (specs.empty()) specs = factory.options();
  return specs;
}

std::string_view Catalogue::doc(Kind kind, std::string_view name) { return impl_->find(kind, name).doc; }

void Catalogue::load_file(std::size_t file) {
  if (!impl_->files[file].refused.empty()) throw PluginError(impl_->files[file].refused_code, impl_->files[file].refused);
  impl_->library(file);
}

ProbeReport Catalogue::probe_file(std::size_t file) {
  if (!impl_->files[file].refused.empty()) throw PluginError(impl_->files[file].refused_code, impl_->files[file].refused);
  return probe(HeldFile(impl_->files[file].path), impl_->discovery.probe);
}

Object* Catalogue::make(Kind kind, std::string_view name, const Settings& settings, Host& host) {
  const PartEntry& part = impl_->find(kind, name);
  const Factory& factory = impl_->factory(part);
  const FileEntry& file = impl_->files[part.file];
  const std::string what = std::string(to_string(kind)) + " \"" + part.name + '"';
  ProcessState state;
  std::unique_ptr<Object> object;
  try {
    object.reset(factory.create(settings, host));
  } catch (const OptionError&) {
    throw;  // a matter of the experiment, not of the plugin
  } catch (...) {
    const std::string why = file.id + " could not create " + what + ": " + current_exception_text();
    if (why.find(no_memory) != std::string::npos) throw std::runtime_error(why);  // no fault of the plugin
    throw NotCreated(Refusal{"Z171", why, "", ""}.error(file.path.string()), current_exception_text());
  }
  for (const std::string& change : state.restore("while creating " + what)) {
    std::string warning = file.path.string() + ": warning: " + change;
    if (std::find(impl_->warnings.begin(), impl_->warnings.end(), warning) == impl_->warnings.end()) impl_->warnings.push_back(std::move(warning));
  }
  return object.release();
}

std::vector<UsedPlugin> Catalogue::used() const {
  std::map<std::string, UsedPlugin> by_id;
  for (const auto& [file, part] : impl_->used) {
    const UsedPlugin& record = impl_->loaded.at(file).record;
    by_id.try_emplace(record.id, record).first->second.parts.push_back(part);
  }
  std::vector<UsedPlugin> result;
  for (auto& [id, u] : by_id) result.push_back(std::move(u));
  return result;
}

void Catalogue::require(Lock lock) {
  if (const auto refusal = torch_difference(lock)) throw refusal->error(lock.source);
  impl_->lock = std::move(lock);
  for (const auto& [file, loaded] : impl_->loaded) impl_->admit(file, loaded.record);
}

void Catalogue::require(std::vector<Pin> pins) {
  impl_->pins = std::move(pins);
  for (const auto& [file, loaded] : impl_->loaded) impl_->admit(file, loaded.record);
}

}  // namespace zstar::plugins
