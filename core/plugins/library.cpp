#include "core/plugins/library.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <set>
#include <sstream>

#include <boost/dll/shared_library.hpp>

#include "core/plugins/process_state.hpp"
#include "zstar/abi/tag.hpp"

namespace zstar::plugins {
namespace {

using Entry = int(std::uint32_t, Table*) noexcept;

/// dlerror's text with its C++ names readable, and the remedy that fits.
Refusal not_linked(const std::string& text) {
  if (text.find("static TLS") != std::string::npos)
    return {"Z151", "cannot allocate memory in static TLS block", "", "do not build with -ftls-model=initial-exec"};
  const std::size_t at = text.find("undefined symbol: ");
  if (at == std::string::npos) return {"Z151", "cannot be linked: " + text, "", "build it again against this zstar"};
  std::string symbol = text.substr(at + 18);
  symbol = symbol.substr(0, symbol.find_first_of(" \n)"));
  return {"Z151", "cannot be linked: undefined symbol '" + c10::demangle(symbol.c_str()) + "'", "",
          "link what defines it; -Wl,--no-undefined finds it at build time"};
}

std::string text_of(double number) {
  std::ostringstream out;
  out << number;
  return out.str();
}

/// What is wrong with an option table; empty: nothing.
std::string fault_of(const Factory& factory) {
  std::set<std::string> names;
  for (const OptSpec& spec : factory.options()) {
    if (!names.insert(spec.name).second) return "option \"" + spec.name + "\" is declared twice";
    std::optional<double> number;
    if (const auto* i = std::get_if<std::int64_t>(&spec.def)) number = static_cast<double>(*i);
    if (const auto* d = std::get_if<double>(&spec.def)) number = *d;
    if (number && (*number < spec.low || *number > spec.high || (spec.open_low && *number == spec.low) ||
                   (spec.open_high && *number == spec.high)))
      return "option \"" + spec.name + "\": default " + text_of(*number) + " outside " + text_of(spec.low) + "…" + text_of(spec.high);
    if (const auto* text = std::get_if<std::string>(&spec.def); text && !spec.choices.empty() &&
        std::find(spec.choices.begin(), spec.choices.end(), *text) == spec.choices.end())
      return "option \"" + spec.name + "\": default '" + *text + "' is none of its choices";
  }
  return "";
}

std::string listed(Kind kind, std::string_view name) { return std::string(to_string(kind)) + " \"" + std::string(name) + '"'; }

std::vector<const Factory*> enter(const boost::dll::shared_library& library, const FileTag& tag) {
  const auto fail = [](const char* code, const std::string& what) { throw Refusal{code, what, "", "build it again with zstar_add_plugin"}; };
  if (!library.has("zstar_plugin_entry") || !library.has("zstar_plugin_tag")) fail("Z155", "exports no zstar_plugin_entry");
  const auto* note = &library.get<const char>("zstar_plugin_tag");
  if (std::memcmp(note + 20, tag.ident_text.data(), tag.ident_text.size()) != 0)
    fail("Z157", "the tag in memory differs from the tag in the file");
  Table table{sizeof(Table), 0, 0, nullptr};
  if (const int status = library.get<Entry>("zstar_plugin_entry")(abi_major, &table); status != 0)
    fail("Z155", "entry returned " + std::to_string(status));
  if (table.struct_size < sizeof(Table))
    fail("Z156", "the table has " + std::to_string(table.struct_size) + " bytes, at least " + std::to_string(sizeof(Table)) + " needed");
  std::set<std::string> in_tag, in_table;
  for (const Lines& part : tag.provides) in_tag.insert(value_of(part, "kind") + " \"" + value_of(part, "name") + '"');
  std::vector<const Factory*> factories;
  for (const Factory* f = table.first; f; f = f->next) {
    if (f->struct_size < sizeof(Factory)) fail("Z156", "a factory has " + std::to_string(f->struct_size) + " bytes");
    in_table.insert(listed(f->kind, f->name));
    factories.push_back(f);
    if (const std::string fault = fault_of(*f); !fault.empty()) fail("Z158", listed(f->kind, f->name) + ": " + fault);
  }
  for (const auto& part : in_tag)
    if (!in_table.count(part)) fail("Z157", "the tag lists " + part + ", the table does not");
  for (const auto& part : in_table)
    if (!in_tag.count(part)) fail("Z157", "the table lists " + part + ", the tag does not");
  return factories;
}

}  // namespace

Library load(const HeldFile& file, const FileTag& tag) {
  const std::string name = file.path().string();
  Library result;
  try {
    ProcessState state(ProcessState::Also::random_and_output);
    namespace load_mode = boost::dll::load_mode;
    // Handles are kept to the end and never closed: objects, vtables and literals of a plugin may outlive everything.
    static auto& kept = *new std::deque<boost::dll::shared_library>;
    const auto& library = kept.emplace_back(
        std::filesystem::absolute(file.path()).string(),
        static_cast<load_mode::type>(load_mode::rtld_now | load_mode::rtld_local | RTLD_NODELETE));
    result.factories = enter(library, tag);
    result.warnings = state.restore("while loading");
  } catch (const Refusal& refusal) {
    throw refusal.error(name);
  } catch (const boost::dll::fs::system_error& error) {
    throw not_linked(error.what()).error(name);
  } catch (const std::exception& error) {  // of an initialiser, where the loader let it through instead of ending the process
    throw Refusal{"Z152", std::string("threw an exception while loading: ") + error.what(), "", "let no initialiser throw; what may fail belongs into a part's constructor"}.error(name);
  }
  if (!file.unchanged()) throw Refusal{"Z141", "the file changed while it was loaded", "", "install plugins by rename, not by copying over"}.error(name);
  return result;
}

}  // namespace zstar::plugins
