#pragma once
/// \file Flow written for benchmarks and for eyes.

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "augment.hpp"
#include "colours.hpp"
#include "files.hpp"

namespace zstar_flow_files {
namespace {

/// The first frame, the true flow where it is known, and `flow`, side by side; both flows with the same scale of colours. \return uint8 [H, W, 3 W or 2 W]
inline Tensor side_by_side(const Pair& pair, const Tensor& flow) {
  std::vector<Tensor> panels{pair.image1.permute({1, 2, 0}).round().clamp(0, 255).to(torch::kUInt8)};
  double longest = 0;
  if (pair.flow.defined()) {
    const Tensor known = (pair.valid >= 0.5) & pair.flow.isfinite().all(0), truth = torch::where(known, pair.flow, torch::zeros_like(pair.flow));
    longest = truth.norm(2, {0}).max().item<double>();
    panels.push_back(colours_of(truth, longest) * known.unsqueeze(2));
  }
  panels.push_back(colours_of(flow, longest));
  return torch::cat(panels, 1);
}

/// `name.flo`, or KITTI's `name.png` with every pixel valid, and `name_colours.png`. \param flow  [2, H, W] \return the files written
inline std::vector<std::string> write_flow(const Pair& pair, const Tensor& flow, const std::filesystem::path& name, bool kitti) {
  std::filesystem::create_directories(name.parent_path());
  const std::vector<std::string> files{name.string() + (kitti ? ".png" : ".flo"), name.string() + "_colours.png"};
  if (kitti) {
    write_kitti_flow(files[0], flow, torch::ones_like(flow[0]));
  } else {
    std::ofstream out(files[0], std::ios::binary);
    out << flo_bytes(flow.permute({1, 2, 0}));
    if (!out.flush()) throw std::runtime_error(files[0] + " cannot be written");
  }
  zstar::formats::write_png(files[1], side_by_side(pair, flow).to(torch::kFloat32) / 127.5 - 1);
  return files;
}

}  // namespace
}  // namespace zstar_flow_files
