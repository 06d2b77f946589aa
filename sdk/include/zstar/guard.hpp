#pragma once
/// \file The guard: whatever a part throws becomes one sentence that names it.

#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <torch/types.h>

#include "zstar/options.hpp"

namespace zstar {

/// A part failed in a call. what(): "solver 'x' failed in propose on [4, 16]: TEXT".
class PartError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The text of the exception under way, without a backtrace. \pre called in a handler
inline std::string current_exception_text() {
  try {
    throw;
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
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
    throw PartError(std::string(context()) + ": " + current_exception_text());
  }
}

}  // namespace zstar
