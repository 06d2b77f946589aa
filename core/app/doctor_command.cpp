/// \file zstar doctor.
#include <dlfcn.h>

#include <iostream>

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/app/command.hpp"
#include "core/app/devices.hpp"
#include "core/plugins/compatibility.hpp"
#include "core/plugins/discovery.hpp"
#include "core/training/doctor.hpp"
#include "core/training/probe_run.hpp"
#include "zstar/abi/tag.hpp"

namespace zstar::app {
namespace {

/// The linear-algebra library in use: Debian's reference BLAS is many times slower than OpenBLAS.
std::string blas() {
  Dl_info info{};
  void* symbol = ::dlsym(RTLD_DEFAULT, "sgemm_");
  if (!symbol || !::dladdr(symbol, &info)) return "inside LibTorch";
  return std::filesystem::weakly_canonical(info.dli_fname).string();
}

nlohmann::ordered_json examine(const Arguments& arguments) {
  const std::string why = load_cuda();
  const std::string library = blas();
  nlohmann::ordered_json json{{"zstar", ZSTAR_VERSION}, {"libtorch", tag::torch_version()}, {"blas", library}, {"threads", at::get_num_threads()},
                              {"devices", device_names()}, {"cuda", why.empty() ? "its library is loaded" : why},
                              {"abi", std::to_string(abi_major) + "." + std::to_string(abi_minor)}, {"sdk", ZSTAR_SDK_HASH},
                              {"compiler", tag::compiler()}, {"folders", nlohmann::ordered_json::array()}, {"plugins", 0},
                              {"problems", nlohmann::ordered_json::array()}};
  if (library.find("openblas") == std::string::npos && library.find("/libblas.so") != std::string::npos)
    json["problems"].push_back("the reference BLAS is in use, many times slower than OpenBLAS\n  remedy: install libopenblas0-pthread");
  const auto d = discovery(arguments);
  for (const auto& folder : plugins::search_folders(d))
    json["folders"].push_back({{"path", folder.lexically_normal().string()}, {"exists", std::filesystem::is_directory(folder)}});
  plugins::Catalogue catalogue(d);
  int good = 0;
  for (const auto& file : catalogue.files()) {
    good += file.refused.empty() && file.shadowed_by.empty();
    if (!file.refused.empty()) json["problems"].push_back(file.refused);
  }
  json["plugins"] = good;
  return json;
}

int installation(const Arguments& arguments) {
  const auto found = examine(arguments);
  const int status = found["problems"].empty() ? done : failed;
  if (arguments.has("json")) {
    std::cout << found.dump(2) << '\n';
    return status;
  }
  const auto text = [&](const char* key) { return found[key].get<std::string>(); };
  std::string devices;
  for (const auto& name : found["devices"]) devices += (devices.empty() ? "" : ", ") + name.get<std::string>();
  std::cout << "LibTorch      " << text("libtorch") << "\nBLAS          " << text("blas") << "\nthreads       " << found["threads"] << "\ndevices       "
            << devices << "\nCUDA          " << text("cuda") << "\nplugin ABI    " << text("abi") << ", SDK " << text("sdk")
            << "\nplugin folders, the earlier winning:\n";
  for (const auto& folder : found["folders"])
    std::cout << "  " << folder["path"].get<std::string>() << (folder["exists"] ? "" : "  (not there)") << '\n';
  for (const auto& problem : found["problems"]) std::cout << "problem: " << problem.get<std::string>() << '\n';
  const std::size_t problems = found["problems"].size();
  std::cout << found["plugins"] << " plugins are usable, " << problems << (problems == 1 ? " problem\n" : " problems\n");
  return status;
}

using training::Diagnosis;
using training::Finding;
using training::Verdict;

std::string decade(const training::ResidualRow& row) {
  if (row.from == row.to) return row.from == 0 ? "0" : "not finite";
  return fmt::format("{:.0e} to {:.0e}", row.from, row.to);
}

void print(const Diagnosis& d) {
  std::cout << fmt::format("{} {} of {} unknowns for {} samples; forward {:.1f} ms, backward {:.1f} ms, peak memory {:.0f} MB\n\n", d.calls, d.calls == 1 ? "equilibrium" : "equilibria",
                           d.width, d.batch, d.forward_milliseconds, d.backward_milliseconds, d.peak_megabytes);
  for (const Finding& f : d.findings) {
    std::cout << fmt::format("{:<7}  {:<13}  {}\n", f.verdict == Verdict::sick ? "SICK" : training::name_of(f.verdict), f.check, f.number);
    if (f.verdict == Verdict::sick) std::cout << fmt::format("{:9}{}: {}\n{:9}remedy: {}\n", "", f.disease, f.sentence, "", f.remedy);
  }
  std::cout << "\nsolves: " << training::shares(d.reasons) << "\n\nrelative residual      samples\n";
  for (const auto& row : d.residuals) std::cout << fmt::format("{:<20}    {:>6}\n", decade(row), row.samples);
  if (!d.methods.empty()) std::cout << "\nother gradient methods    wrong by\n";
  for (const auto& row : d.methods) std::cout << fmt::format("{:<22}    {:>8.1e} ({})\n", row.method, row.relative_error, gradient::name_of(row.kind));
  std::cout << "\nevaluations allowed    greatest residual    loss\n";
  for (const auto& row : d.budgets) std::cout << fmt::format("{:>19}    {:>17}    {:.6g}\n", row.budget, training::residual_text(row.residual), row.loss);
  std::cout << (d.sick() ? "\nthis is not a healthy equilibrium model\n" : "\nthis is an equilibrium model\n");
}

nlohmann::ordered_json to_json(const Diagnosis& d) {
  nlohmann::ordered_json json{{"healthy", !d.sick()}, {"equilibria", d.calls}, {"batch", d.batch}, {"unknowns", d.width},
                              {"forward_milliseconds", d.forward_milliseconds}, {"backward_milliseconds", d.backward_milliseconds}, {"peak_megabytes", d.peak_megabytes},
                              {"findings", nlohmann::ordered_json::array()}, {"reasons", nlohmann::ordered_json::object()}, {"residuals", nlohmann::ordered_json::array()},
                              {"methods", nlohmann::ordered_json::array()}, {"budgets", nlohmann::ordered_json::array()}};
  for (const Finding& f : d.findings) {
    nlohmann::ordered_json one{{"check", f.check}, {"verdict", training::name_of(f.verdict)}, {"number", f.number}};
    if (f.verdict == Verdict::sick) one["disease"] = f.disease, one["sentence"] = f.sentence, one["remedy"] = f.remedy;
    json["findings"].push_back(std::move(one));
  }
  for (int r = 0; r < reason_count; ++r) json["reasons"][solve::text_of(static_cast<Reason>(r)).name] = d.reasons[static_cast<std::size_t>(r)];
  for (const auto& row : d.residuals) json["residuals"].push_back({{"residual", decade(row)}, {"samples", row.samples}});
  for (const auto& row : d.methods) json["methods"].push_back({{"method", row.method}, {"relative_error", row.relative_error}, {"kind", gradient::name_of(row.kind)}});
  for (const auto& row : d.budgets) json["budgets"].push_back({{"evaluations", row.budget}, {"residual", row.residual}, {"loss", row.loss}});
  return json;
}

int model(const Arguments& arguments) {
  load_cuda();
  const BatchWords batch = batch_of(arguments);
  Checked checked(arguments, experiment_of(arguments));
  const Diagnosis diagnosis = training::diagnose(*checked.experiment, checked.catalogue, {batch.samples, batch.weights}, std::cerr);
  if (arguments.has("json")) std::cout << to_json(diagnosis).dump(2) << '\n';
  else print(diagnosis);
  return diagnosis.sick() ? failed : done;
}

int doctor(const Arguments& arguments) {
  const bool of_model = arguments.has("file") || arguments.has("checkpoint") || arguments.has("weights");
  return of_model ? model(arguments) : installation(arguments);
}

}  // namespace

Command doctor_command() {
  auto options = experiment_options("options");
  add_batch_options(options);
  return {"doctor", "doctor [FILE] [--checkpoint RUN]", "what is wrong with an experiment's model, or with this installation",
          "With an experiment: whether its model is an equilibrium model. One batch is solved and differentiated, and thirteen questions are\n"
          "asked of it, each answered with a number; what is wrong has a name, a sentence and a remedy. Without one: LibTorch, BLAS, threads,\n"
          "devices, plugin folders, and every plugin that was refused with the reason. Exit status 1 if there is a problem.",
          {"file"}, std::move(options), doctor,
          {{"doctor", "look here first when something is slow or missing"},
           {"doctor experiments/quickstart.toml", "the model as it begins"},
           {"doctor --checkpoint runs/quickstart/latest", "the model as it was trained"}}};
}

}  // namespace zstar::app
