#pragma once
/// \file Operators of a plugin for LibTorch's dispatcher, in a namespace made from the plugin's id.
///
/// TORCH_LIBRARY registers while a library loads: where two libraries claim one namespace, the process is aborted. Here
/// registration happens when a part is created, and a namespace that is taken is an exception like any other.
///
///     Mine(zstar::Host&) : operators_("demo.mine") { operators_->def("twice(Tensor x) -> Tensor", &twice); }

#include <string>
#include <string_view>

#include <torch/library.h>

namespace zstar {

/// "demo.my-ops" → "demo_my_ops"
inline std::string operator_namespace(std::string_view plugin_id) {
  std::string name(plugin_id);
  for (char& c : name)
    if (c == '.' || c == '-') c = '_';
  return name;
}

/// Keeps the operators of one plugin registered as long as it lives.
class Operators {
 public:
  /// \throws c10::Error  if another library owns the namespace
  explicit Operators(std::string_view plugin_id) : library_(torch::Library::DEF, operator_namespace(plugin_id), {}, "plugin", 0) {}
  torch::Library* operator->() { return &library_; }

 private:
  torch::Library library_;
};

}  // namespace zstar
