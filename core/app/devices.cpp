#include "core/app/devices.hpp"

#include <dlfcn.h>

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>

namespace zstar::app {

std::string load_cuda() {
  if (::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL)) return "";
  const char* why = ::dlerror();
  return why ? why : "libtorch_cuda.so cannot be loaded";
}

std::vector<std::string> device_names() {
  std::vector<std::string> names{"cpu"};
  if (!at::hasCUDA()) return names;
  const int count = at::detail::getCUDAHooks().getNumGPUs();
  for (int i = 0; i < count; ++i) names.push_back("cuda:" + std::to_string(i));
  return names;
}

}  // namespace zstar::app
