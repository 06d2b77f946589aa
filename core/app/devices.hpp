#pragma once
/// \file Devices: CUDA is no part of what the program links; its library registers itself when it is loaded.

#include <string>
#include <vector>

namespace zstar::app {

/// Loads LibTorch's CUDA library where there is one, before the first question for a device.
/// \return why it could not be loaded; empty: it is loaded
std::string load_cuda();

/// "cpu", "cuda:0", …
std::vector<std::string> device_names();

}  // namespace zstar::app
