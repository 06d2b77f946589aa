/// \file zstar doctor.
#include <dlfcn.h>

#include <iostream>

#include <ATen/Parallel.h>
#include <nlohmann/json.hpp>

#include "core/app/command.hpp"
#include "core/app/devices.hpp"
#include "core/plugins/compatibility.hpp"
#include "core/plugins/discovery.hpp"
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

int doctor(const Arguments& arguments) {
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

}  // namespace

Command doctor_command() {
  po::options_description options("options");
  add_json_option(options);
  add_plugin_options(options);
  return {"doctor", "doctor", "what this installation is made of, and what is wrong with it",
          "Prints LibTorch, BLAS, threads, devices, plugin folders, and every plugin that was refused with the reason.\nExit status 1 if there is a problem.",
          {}, std::move(options), doctor, {{"doctor", "look here first when something is slow or missing"}}};
}

}  // namespace zstar::app
