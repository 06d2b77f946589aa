#include "core/plugins/refusal.hpp"

namespace zstar::plugins {

const std::vector<CodeText>& codes() {
  static const std::vector<CodeText> table{
      {"Z101", "the file cannot be opened: too many levels of symbolic links, or it does not exist", "look at the path and where its links lead"},
      {"Z102", "the file may not be read", "chmod +r"},
      {"Z103", "not a regular file", "name a shared library"},
      {"Z104", "the file is shorter than an ELF header", "copy or build it again"},
      {"Z105", "not a shared library: no ELF header", "name a shared library"},
      {"Z106", "built for another processor", "build it on this machine"},
      {"Z107", "an object file, not a shared library", "link it with zstar_add_plugin"},
      {"Z108", "the program header table is damaged", "copy or build it again"},
      {"Z109", "the file is cut short", "copy or build it again"},
      {"Z110", "notes larger than 64 KiB", "look at what else writes notes into the file"},
      {"Z111", "no zstar tag", "ZSTAR_PLUGIN(…) in one source file, linked with zstar_add_plugin"},
      {"Z112", "two identities in one file", "keep one ZSTAR_PLUGIN line"},
      {"Z113", "the zstar tag is damaged", "build it again"},
      {"Z114", "asks for an executable stack", "link with -z noexecstack, as zstar_add_plugin does"},
      {"Z121", "tag of an unknown format", "build it against this zstar"},
      {"Z122", "built for another plugin ABI", "use the newer zstar, or build the plugin against this one"},
      {"Z123", "built against other SDK headers of the same ABI number", "build the plugin against this zstar's SDK"},
      {"Z124", "sizes of shared types differ", "remove flags that change layout (-fpack-struct, -fshort-enums, _GLIBCXX_DEBUG)"},
      {"Z125", "built for another LibTorch", "build it against this LibTorch"},
      {"Z126", "built with another C++ standard library", "use the target zstar::sdk, which carries the flag"},
      {"Z127", "built with another sanitizer", "build both alike"},
      {"Z128", "needs instructions that this processor lacks", "build it without -march"},
      {"Z129", "needs CUDA, which this process has not", "use a LibTorch with CUDA, and experiment.device = \"cuda\""},
      {"Z131", "one plugin id twice in a folder", "remove one of the two files"},
      {"Z132", "a part offered by several plugins", "write id:name"},
      {"Z133", "links another LibTorch", "remove the RPATH, configure with the same LibTorch"},
      {"Z134", "brings a second OpenMP", "build it with the compiler that zstar was built with"},
      {"Z135", "carries its own C++ runtime", "do not link with -static-libstdc++"},
      {"Z136", "no such part", "'zstar plugins list' shows what was found, 'zstar doctor' where"},
      {"Z141", "the file differs from the lock or a pin, is not on the allow list, or changed while loading", "put the locked file back, or lock again with 'zstar lock FILE'"},
      {"Z142", "folder or file that others may change", "chmod go-w, or --trust-folder DIR"},
      {"Z151", "cannot be linked", "link what defines the symbol; -Wl,--no-undefined finds it at build time"},
      {"Z152", "died while it was tried", "run 'zstar plugins check FILE' under a debugger"},
      {"Z153", "did not finish in time while it was tried", "look for loops in its initialisers and constructors"},
      {"Z154", "ended the process while it was tried", "remove what calls exit"},
      {"Z155", "the entry function failed", "build it again with zstar_add_plugin"},
      {"Z156", "the table is too small", "build it again with zstar_add_plugin"},
      {"Z157", "tag and table list different parts", "build it again with zstar_add_plugin"},
      {"Z158", "an option table that contradicts itself", "correct the default or the range of the option"},
      {"Z161", "warning: printed while loading", "return records; the program prints"},
      {"Z162", "warning: changed floating-point control while loading", "do not link with -ffast-math or -Ofast"},
      {"Z163", "warning: changed global state while loading or creating a part", "leave locale, grad mode, default dtype, threads and random state alone"},
      {"Z171", "a part could not be created", "read the text behind the colon, which is the part's own"},
  };
  return table;
}

}  // namespace zstar::plugins
