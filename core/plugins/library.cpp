#include "core/plugins/library.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <locale.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <boost/dll/shared_library.hpp>

#include "core/plugins/digest.hpp"
#include "zstar/abi/tag.hpp"

namespace zstar::plugins {
namespace {

/// Saves what a library might change while it loads, and puts it back.
class ProcessState {
 public:
  ProcessState()
      : locale_(::setlocale(LC_ALL, nullptr)), grad_(torch::GradMode::is_enabled()), dtype_(torch::get_default_dtype()),
        threads_(at::get_num_threads()), random_(at::detail::getDefaultCPUGenerator().get_state().clone()) {
#if defined(__SSE__)
    control_ = _mm_getcsr() & control_bits;
#endif
    output_ = ::memfd_create("zstar-load", MFD_CLOEXEC);
    stdout_ = ::dup(STDOUT_FILENO);
    std::fflush(stdout);
    if (output_ >= 0 && stdout_ >= 0) ::dup2(output_, STDOUT_FILENO);
  }
  ProcessState(const ProcessState&) = delete;
  ProcessState& operator=(const ProcessState&) = delete;
  ~ProcessState() { restore(); }

  /// Puts everything back. \return a sentence for each change
  std::vector<std::string> restore() {
    if (restored_) return {};
    restored_ = true;
    std::vector<std::string> changes;
    restore_output(changes);
#if defined(__SSE__)
    if ((_mm_getcsr() & control_bits) != control_) changes.push_back("changed floating-point control while loading; undone [Z162]");
    _mm_setcsr((_mm_getcsr() & ~control_bits) | control_);
#endif
    const auto note = [&](bool same, const char* what) {
      if (!same) changes.push_back(std::string("changed ") + what + " while loading; undone [Z163]");
      return same;
    };
    if (!note(locale_ == ::setlocale(LC_ALL, nullptr), "the locale")) ::setlocale(LC_ALL, locale_.c_str());
    if (!note(grad_ == torch::GradMode::is_enabled(), "the grad mode")) torch::GradMode::set_enabled(grad_);
    if (!note(dtype_ == torch::get_default_dtype(), "the default dtype")) torch::set_default_dtype(dtype_);
    if (!note(threads_ == at::get_num_threads(), "the number of threads")) at::set_num_threads(threads_);
    auto generator = at::detail::getDefaultCPUGenerator();
    if (!note(random_.equal(generator.get_state()), "the random state")) generator.set_state(random_);
    return changes;
  }

 private:
  static constexpr unsigned control_bits = 0xffc0;  // all but the sticky exception flags

  void restore_output(std::vector<std::string>& changes) {
    if (output_ < 0 || stdout_ < 0) return;
    std::fflush(stdout);
    ::dup2(stdout_, STDOUT_FILENO);
    ::close(stdout_);
    std::string text(4096, '\0');
    const ssize_t n = ::pread(output_, text.data(), text.size(), 0);
    ::close(output_);
    if (n <= 0) return;
    text.resize(static_cast<std::size_t>(n));
    changes.push_back("printed while loading: " + text + " [Z161]");
  }

  std::string locale_;
  bool grad_, restored_ = false;
  caffe2::TypeMeta dtype_;
  int threads_, output_ = -1, stdout_ = -1;
  Tensor random_;
  unsigned control_ = 0;
};

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
      return "option \"" + spec.name + "\": its default lies outside its range";
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

Library load(const std::filesystem::path& file, const FileTag& tag, const std::vector<std::string>& allowed) {
  const std::string name = file.string();
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw Refusal{"Z101", "cannot be opened: " + std::string(std::strerror(errno)), "", ""}.error(name);
  const std::unique_ptr<const int, void (*)(const int*)> closer(&descriptor, [](const int* d) { ::close(*d); });
  struct stat before {}, after {};
  ::fstat(descriptor, &before);
  Library result;
  result.sha256 = sha256(descriptor);
  result.size = static_cast<std::uintmax_t>(before.st_size);
  if (!allowed.empty() && std::find(allowed.begin(), allowed.end(), result.sha256) == allowed.end())
    throw Refusal{"Z141", "SHA-256 " + result.sha256 + " is not on the list of allowed files", "", "add it, or use the locked file"}.error(name);
  try {
    ProcessState state;
    namespace load_mode = boost::dll::load_mode;
    // The handle is leaked: objects, vtables and literals of a plugin may outlive everything.
    auto* library = new boost::dll::shared_library(
        std::filesystem::absolute(file).string(),
        static_cast<load_mode::type>(load_mode::rtld_now | load_mode::rtld_local | RTLD_NODELETE));
    result.factories = enter(*library, tag);
    result.warnings = state.restore();
  } catch (const Refusal& refusal) {
    throw refusal.error(name);
  } catch (const std::exception& error) {
    throw not_linked(error.what()).error(name);
  }
  ::fstat(descriptor, &after);
  if (before.st_size != after.st_size || before.st_mtime != after.st_mtime)
    throw Refusal{"Z141", "the file changed while it was loaded", "", "install plugins by rename, not by copying over"}.error(name);
  return result;
}

}  // namespace zstar::plugins
