/// \file zstar doctor, and the shell completion made from the table of commands.
#include <dlfcn.h>

#include <iostream>

#include <ATen/Parallel.h>

#include "core/app/command.hpp"
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

int doctor(const Arguments& arguments) {
  void* cuda = ::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL);
  const std::string why = cuda ? "" : ::dlerror();
  const std::string library = blas();
  std::cout << "LibTorch      " << tag::torch_version() << "\nBLAS          " << library << "\nthreads       " << at::get_num_threads() << "\nCUDA          "
            << (torch::hasCUDA() ? "a device is there" : cuda ? "the library is loaded, no device was found" : why) << "\nplugin ABI    " << abi_major << '.'
            << abi_minor << ", SDK " ZSTAR_SDK_HASH "\n";
  int problems = 0;
  if (library.find("openblas") == std::string::npos && library.find("/libblas.so") != std::string::npos) {
    std::cout << "problem: the reference BLAS is in use, many times slower than OpenBLAS\n  remedy: install libopenblas0-pthread\n";
    ++problems;
  }
  const auto d = discovery(arguments);
  std::cout << "plugin folders, the earlier winning:\n";
  for (const auto& folder : plugins::search_folders(d))
    std::cout << "  " << folder.lexically_normal().string() << (std::filesystem::is_directory(folder) ? "" : "  (not there)") << '\n';
  plugins::Catalogue catalogue(d);
  std::size_t good = 0;
  for (const auto& file : catalogue.files()) {
    good += file.refused.empty() && file.shadowed_by.empty();
    if (file.refused.empty()) continue;
    std::cout << "problem: " << file.refused << '\n';
    ++problems;
  }
  std::cout << good << " plugins are usable, " << problems << (problems == 1 ? " problem\n" : " problems\n");
  return problems == 0 ? done : failed;
}

std::string completion() {
  std::string names, cases;
  for (const Command& c : commands()) {
    names += c.name + " ";
    std::string options;
    for (const auto& o : c.options.options())
      if (o->long_name() != "file" && o->long_name() != "what") options += "--" + o->long_name() + " ";
    cases += "    " + c.name + ") words=\"" + options + "--help\" ;;\n";
  }
  return "# bash completion of zstar: source <(zstar completion)\n_zstar() {\n  local word=${COMP_WORDS[COMP_CWORD]} words\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ]; then words=\"" + names + "--help --version\"; else case ${COMP_WORDS[1]} in\n" + cases +
         "  esac; fi\n  COMPREPLY=($(compgen -W \"$words\" -- \"$word\") $(compgen -f -- \"$word\"))\n}\ncomplete -o filenames -F _zstar zstar\n";
}

}  // namespace

Command doctor_command() {
  po::options_description options("options");
  add_plugin_options(options);
  return {"doctor", "doctor", "what this installation is made of, and what is wrong with it",
          "Prints LibTorch, BLAS, threads, devices, plugin folders, and every plugin that was refused with the reason.\nExit status 1 if there is a problem.",
          {}, std::move(options), doctor};
}

Command completion_command() {
  return {"completion", "completion", "bash completion: source <(zstar completion)", "Prints a completion script for bash.", {}, po::options_description("options"),
          [](const Arguments&) {
            std::cout << completion();
            return static_cast<int>(done);
          }};
}

}  // namespace zstar::app
