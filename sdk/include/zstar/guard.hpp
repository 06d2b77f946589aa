#pragma once
/// \file The guard: whatever a part throws becomes one sentence that names plugin, part, call and shapes.
///
///     guarded([&] { return call_text(solver, "solver 'aitken'", "propose", {z, fz}); }, [&] { return solver.propose(z, fz); });
///
/// Nothing is done, and no text made, unless something is thrown.

#include <dlfcn.h>

#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "zstar/abi/object.hpp"
#include "zstar/options.hpp"

namespace zstar {

/// A part failed in a call. what(): "solver 'x' of plugin 'demo.x' failed in propose ([4, 16] float): TEXT".
class PartError : public std::runtime_error {
 public:
  explicit PartError(const std::string& sentence, std::string log = {}) : std::runtime_error(sentence), log_(std::move(log)) {}
  /// For a log: LibTorch's text with its backtrace; empty for other exceptions.
  const std::string& log() const { return log_; }

 private:
  std::string log_;
};

inline constexpr std::string_view no_memory = "not enough memory";

/// Of an allocation that failed, the sentence "not enough memory for N bytes" and what to do; another text as it is.
inline std::string in_plain_words(const std::string& said) {
  if (said.find("CUDA out of memory") == std::string::npos && said.find("DefaultCPUAllocator:") == std::string::npos) return said;
  const std::size_t tried = said.find("ried to allocate "), begin = tried == std::string::npos ? tried : tried + 17;
  const std::string size = begin == std::string::npos ? "" : " for " + said.substr(begin, said.find_first_of("(.", said.find_first_not_of("0123456789.", begin)) - begin);
  return std::string(no_memory) + size.substr(0, size.find_last_not_of(' ') + 1) + "\n  remedy: make the model, the batch or the memory of the solver smaller";
}

/// The text of the exception under way, without a backtrace. \param log  takes the text with it \pre called in a handler
inline std::string current_exception_text(std::string* log = nullptr) {
  try {
    throw;
  } catch (const c10::Error& error) {
    if (log) *log = error.what();
    return in_plain_words(error.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    return std::string(no_memory);
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

/// The id of the plugin whose class an object is of, from the tag of the library that its class lies in; empty: none.
inline std::string plugin_of(const Object& object) {
  Dl_info library{};
  if (!::dladdr(&typeid(object), &library)) return "";
  void* handle = ::dlopen(library.dli_fname, RTLD_NOLOAD | RTLD_NOW);
  if (!handle) return "";
  const auto* note = static_cast<const char*>(::dlsym(handle, "zstar_plugin_tag"));
  ::dlclose(handle);
  Dl_info of_tag{};
  if (!note || !::dladdr(note, &of_tag) || of_tag.dli_fbase != library.dli_fbase) return "";
  const std::string_view text(note + 20);  // after sizes, type and owner
  const std::size_t id = text.find("\nid=");
  return id == std::string_view::npos ? "" : std::string(text.substr(id + 4, text.find('\n', id + 4) - id - 4));
}

/// "solver 'aitken' of plugin 'zstar.aitken' failed in propose ([4, 16] float, [4, 16] float)"
/// \param what  kind and, where it is known, name of the part
inline std::string call_text(const Object& part, std::string_view what, std::string_view call, const std::vector<torch::Tensor>& arguments = {}) {
  std::ostringstream text;
  text << what;
  if (const std::string id = plugin_of(part); !id.empty()) text << " of plugin '" << id << '\'';
  text << " failed in " << call;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    text << (i ? ", " : " (");
    if (arguments[i].defined()) text << arguments[i].sizes() << ' ' << c10::toString(arguments[i].scalar_type());
    else text << "undefined";
  }
  if (!arguments.empty()) text << ')';
  return text.str();
}

/// Calls fn. \param context  a callable that gives the words before the colon; called only when something was thrown
/// \throws PartError  for everything but PartError and OptionError, which pass
template <class Context, class F>
decltype(auto) guarded(const Context& context, F&& fn) {
  try {
    return std::forward<F>(fn)();
  } catch (const PartError&) {
    throw;
  } catch (const OptionError&) {
    throw;
  } catch (...) {
    std::string log;
    const std::string text = current_exception_text(&log);
    throw PartError(std::string(context()) + ": " + text, std::move(log));
  }
}

}  // namespace zstar
