#include "core/plugins/process_state.hpp"

#include <locale.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include <cstdio>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>

namespace zstar::plugins {
namespace {

constexpr unsigned control_bits = 0xffc0;  // all of MXCSR but the sticky exception flags

}  // namespace

ProcessState::ProcessState(Also also)
    : locale_(::setlocale(LC_ALL, nullptr)), grad_(torch::GradMode::is_enabled()), dtype_(torch::get_default_dtype()),
      threads_(at::get_num_threads()) {
#if defined(__SSE__)
  control_ = _mm_getcsr() & control_bits;
#endif
  if (also != Also::nothing) random_ = at::detail::getDefaultCPUGenerator().get_state().clone();
  if (also != Also::random_and_output) return;
  output_ = ::memfd_create("zstar-load", MFD_CLOEXEC);
  stdout_ = ::dup(STDOUT_FILENO);
  std::fflush(stdout);
  if (output_ >= 0 && stdout_ >= 0) ::dup2(output_, STDOUT_FILENO);
}

std::vector<std::string> ProcessState::restore(const std::string& when) {
  if (restored_) return {};
  restored_ = true;
  std::vector<std::string> changes;
  restore_output(when, changes);
#if defined(__SSE__)
  if ((_mm_getcsr() & control_bits) != control_) changes.push_back("changed floating-point control " + when + "; undone [Z162]");
  _mm_setcsr((_mm_getcsr() & ~control_bits) | control_);
#endif
  const auto note = [&](bool same, const char* what) {
    if (!same) changes.push_back(std::string("changed ") + what + ' ' + when + "; undone [Z163]");
    return same;
  };
  if (!note(locale_ == ::setlocale(LC_ALL, nullptr), "the locale")) ::setlocale(LC_ALL, locale_.c_str());
  if (!note(grad_ == torch::GradMode::is_enabled(), "the grad mode")) torch::GradMode::set_enabled(grad_);
  if (!note(dtype_ == torch::get_default_dtype(), "the default dtype")) torch::set_default_dtype(dtype_);
  if (!note(threads_ == at::get_num_threads(), "the number of threads")) at::set_num_threads(threads_);
  if (!random_.defined()) return changes;
  auto generator = at::detail::getDefaultCPUGenerator();
  if (!note(random_.equal(generator.get_state()), "the random state")) generator.set_state(random_);
  return changes;
}

void ProcessState::restore_output(const std::string& when, std::vector<std::string>& changes) {
  if (output_ < 0 || stdout_ < 0) return;
  std::fflush(stdout);
  ::dup2(stdout_, STDOUT_FILENO);
  ::close(stdout_);
  std::string text(4096, '\0');
  const ssize_t n = ::pread(output_, text.data(), text.size(), 0);
  ::close(output_);
  if (n <= 0) return;
  text.resize(static_cast<std::size_t>(n));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  changes.push_back("printed " + when + ": " + text + " [Z161]");
}

}  // namespace zstar::plugins
