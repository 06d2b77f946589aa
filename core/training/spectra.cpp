#include "core/training/spectra.hpp"

#include <algorithm>
#include <numeric>

#include <ATen/CPUGeneratorImpl.h>

#include "core/gradient/spectrum.hpp"

namespace zstar::training {

void add_spectra(runs::Record& record, const std::vector<Solved>& solves, const EvalOptions& options) {
  if (!options.spectral_radius && !options.singular_value) return;
  std::vector<double> radii, norms;
  double unsettled = 0;
  for (const Solved& solved : solves) {
    const State& found = solved.equilibrium.fixed_point;
    const State z = solved.map.samples_independent() ? found : State::one_sample(found.tensors());
    const solve::Packing packing(z);
    if (packing.batch() == 0) continue;
    const Tensor start = torch::randn({packing.batch(), packing.width()}, at::detail::createCPUGenerator(1)).to(z[0].device(), packing.dtype());
    if (options.spectral_radius) {
      const auto radius = gradient::spectral_radius(solved.map, z, start, options.spectral_products);
      radii.insert(radii.end(), radius.radius.begin(), radius.radius.end());
      unsettled += static_cast<double>(std::count(radius.converged.begin(), radius.converged.end(), 0));
    }
    if (options.singular_value) {
      const auto norm = gradient::largest_singular_value(solved.map, z, start, options.spectral_products);
      norms.insert(norms.end(), norm.begin(), norm.end());
    }
  }
  const auto add = [&record](const std::string& name, const std::vector<double>& values) {
    if (values.empty()) return;
    record.numbers.emplace_back(name + "_mean", std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size()));
    record.numbers.emplace_back(name + "_max", *std::max_element(values.begin(), values.end()));
  };
  add("spectral_radius", radii);
  if (!radii.empty()) record.numbers.emplace_back("spectral_radius_unsettled", unsettled);
  add("singular_value", norms);
}

}  // namespace zstar::training
