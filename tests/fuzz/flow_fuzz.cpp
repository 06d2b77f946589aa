/// \file Flow and its images: bytes → tensors or a sentence, for .flo, .pfm, .ppm, PNG, and KITTI's 16-bit PNG.
#include "plugins/datasets/flow/files.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace zstar_flow_files;

template <class F>
void attempt(const F& read) {
  try {
    read();
  } catch (const FormatError&) {
  }
}

template <class F>
std::string written(const F& write) {
  const std::string file = zstar::fuzz::as_file(nullptr, 0).string() + ".png";
  write(file);
  const std::string bytes = zstar::fuzz::read_whole(file);
  std::filesystem::remove(file);
  return bytes;
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  const Tensor flow = torch::arange(24).view({2, 3, 4}).to(torch::kFloat32);
  const std::string floats(3 * 4 * 3 * 4, '\1');
  return {flo_bytes(flow.permute({1, 2, 0})), "PF\n4 3\n-1.0\n" + floats, "Pf\n# grey\n4 3\n1\n" + floats.substr(0, 48), "P6 4 3 255\n" + floats.substr(0, 36),
          written([&](const std::string& file) { write_kitti_flow(file, flow, torch::ones({3, 4})); }),
          written([](const std::string& file) { zstar::formats::write_png(file, torch::zeros({3, 4, 3})); })};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes(data, data + size);
  attempt([&] { read_flo(bytes); });
  attempt([&] { read_pfm(bytes); });
  attempt([&] { read_kitti_flow(bytes); });
  attempt([&] { read_image(bytes); });
  return 0;
}
