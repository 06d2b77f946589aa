/// \file Helpers of DEQ-Flow and sample files: runner flow_tools, kind files.
#include <fstream>

#include "plugins/datasets/flow/augment.hpp"
#include "plugins/datasets/flow/colours.hpp"
#include "plugins/datasets/flow/files.hpp"
#include "plugins/datasets/signals/sounds.hpp"
#include "plugins/models/deq_flow/correlation.hpp"
#include "plugins/models/deq_flow/upsample.hpp"
#include "tests/reference/zoo/zoo.hpp"
#include "zstar/abi/dataset.hpp"

namespace zstar::reference {
namespace {

namespace fs = std::filesystem;
using namespace zstar_flow_files;

/// Values of t [1, C, h, w] at positions (x, y) [1, P, Q, 2], through the window of the lookup: its offset 0.
Tensor sampled(const Tensor& t, const Tensor& at) {
  const auto window = zstar_flow::window_of(at.flatten(1, 2), 1, t.size(2), t.size(3));
  const Tensor index = window.rows.unsqueeze(3) * t.size(3) + window.columns.unsqueeze(2), inside = window.row_in.unsqueeze(3) * window.column_in.unsqueeze(2);
  std::vector<Tensor> channels;
  for (const Tensor& channel : t.unbind(1)) {
    const Tensor v = channel.flatten(1).gather(1, index.flatten(1)).view(index.sizes()) * inside;
    channels.push_back(zstar_flow::blend(v, window).select(2, 4));
  }
  return torch::stack(channels, 1).view({1, t.size(1), at.size(1), at.size(2)});
}

void run_flow_tools(Case& c) {
  const Tensor &image = c.at("input/image"), &low = c.at("input/flow_low");
  for (const bool bottom : {false, true}) {
    const zstar_flow::Padding padding(image.size(2), image.size(3), bottom);
    const std::string name = bottom ? "kitti" : "sintel";
    c.compare("output/padded_" + name, padding.pad(image));
    c.compare("output/unpadded_" + name, padding.unpad(padding.pad(image)));
  }
  c.compare("output/forward_interpolated", zstar_flow::interpolate_forward(low));
  const auto [flow, valid] = resize_sparse(c.at("input/sparse_flow").permute({2, 0, 1}), c.at("input/sparse_valid"), c.settings.at("fx"), c.settings.at("fy"));
  c.compare("output/sparse_resized_flow", flow.permute({1, 2, 0}));
  c.compare("output/sparse_resized_valid", valid);
  c.compare("output/colour_wheel", colour_wheel());
  c.compare("output/flow_colour", colours_of(low));
  c.compare("output/coords_grid", zstar_flow::grid_of(2, 3, 4, low.options()));
  c.compare("output/bilinear", sampled(image, c.at("input/sample_at")));
  c.compare("output/upflow8", zstar_flow::upsample_bilinear(low.unsqueeze(0)));
}

void compare_sound(Case& c, const fs::path& file) {
  zstar_signals::SoundReader reader(file);
  const Tensor samples = reader.read(0, reader.size()).samples, values = (samples.flatten() * 32768).round();  // integers of 16 bits
  c.compare("output/wav", values);
  c.compare("output/wav_scaled", values / values.max().abs());
}

void compare_cifar(Case& c, const fs::path& file) {
  const fs::path folder = fs::temp_directory_path() / ("zstar-reference-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  fs::copy_file(file, folder / "data_batch_1.bin", fs::copy_options::overwrite_existing);
  const std::vector<double> zero(3, 0.0), one(3, 1.0);
  const auto data = test::make<Dataset>(Kind::dataset, "cifar10", {{"path", folder.string()}, {"files", std::int64_t{1}}, {"mean", zero}, {"std", one}});
  const Batch batch = data->load(Split::train, {0, 1}, 0);
  c.compare("output/cifar10_images", (batch.at("images").to(torch::kFloat64) * 255).round());
  c.compare("output/cifar10_labels", batch.at("labels"));
  fs::remove_all(folder);
}

}  // namespace

void run_files(Case& c) {
  for (const auto& entry : c.settings.at("files").items()) {
    const fs::path file = c.folder / entry.key();
    const std::string ending = file.extension();
    const auto bytes = [&] { return zstar::formats::read_file(file); };
    if (ending == ".flo") c.compare("output/flo", read_flo(bytes()));
    if (ending == ".pfm") c.compare("output/pfm", read_pfm(bytes())), c.compare("output/pfm_flow", read_pfm(bytes()).narrow(2, 0, 2));
    if (ending == ".ppm") c.compare("output/ppm", read_ppm(bytes()));
    if (ending == ".wav") compare_sound(c, file);
    if (ending == ".bin") compare_cifar(c, file);
    if (ending != ".png") continue;
    const FlowField field = read_kitti_flow(bytes());
    c.compare("output/kitti_flow", field.flow.permute({1, 2, 0}));
    c.compare("output/kitti_valid", field.valid);
  }
}

namespace zoo {
ZSTAR_ZOO_RUNNER(run_flow_tools, "flow_tools")
}

}  // namespace zstar::reference
