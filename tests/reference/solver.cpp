#include "tests/reference/case.hpp"

namespace zstar::reference {

void run_solver(Case& c) {
  const torch::NoGradGuard no_grad;
  Family family = make_family(c);
  Recorder recorder;
  const solve::Options options{.tolerance = c.get("tol", 1e-3), .max_evaluations = c.get("max_iter", std::int64_t{50}),
                               .stop = c.get<std::string>("stop_mode", "abs") == "rel" ? "relative" : "absolute"};
  const std::string name = c.settings.at("solver");
  const auto solver = compatible_solver(name, c.settings, options).make();
  const auto out = solve::solve(*solver, name, recorder.wrap(family.f), state_of(c, family, "input/z0"), options,
                                c.get("indexing", std::vector<std::int64_t>{}));
  c.compare("output/z", out.z[0]);
  std::int64_t sampled = 0;
  for (const auto& [key, tensor] : out.report.statistics) {
    if (key == "sampled") sampled = tensor.item<std::int64_t>();
    else c.compare("output/" + key, tensor);
  }
  for (std::int64_t k = 0; k < sampled; ++k) {
    if (!c.has("output/indexed_" + std::to_string(k))) return c.fail("more indexed states than expected");
    c.compare("output/indexed_" + std::to_string(k), out.samples[static_cast<std::size_t>(k)][0]);
  }
  c.compare("output/calls", torch::tensor(out.report.calls));
  const auto [in, images] = recorder.traces();
  c.compare("trace/f_in", in);
  c.compare("trace/f_out", images);
  const double tau = name == "broyden" || name == "anderson" ? 1.0 : c.get("tau", 1.0);
  c.compare("output/z_final", name == "broyden" ? in[-1] : tau * images[-1] + (1 - tau) * in[-1]);
}

}  // namespace zstar::reference
