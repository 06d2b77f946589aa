#include "core/plugins/refusal.hpp"

namespace zstar::plugins {

const std::vector<CodeText>& codes() {
  static const std::vector<CodeText> table{
      {"Z101", "the file cannot be opened: too many levels of symbolic links, or it does not exist"},
      {"Z102", "the file may not be read"},
      {"Z103", "not a regular file"},
      {"Z104", "the file is shorter than an ELF header"},
      {"Z105", "not a shared library: no ELF header"},
      {"Z106", "built for another processor"},
      {"Z107", "an object file, not a shared library"},
      {"Z108", "the program header table is damaged"},
      {"Z109", "the file is cut short"},
      {"Z110", "notes larger than 64 KiB"},
      {"Z111", "no zstar tag"},
      {"Z112", "two identities in one file"},
      {"Z113", "the zstar tag is damaged"},
      {"Z114", "asks for an executable stack"},
      {"Z121", "tag of an unknown format"},
      {"Z122", "built for another plugin ABI"},
      {"Z123", "built against other SDK headers of the same ABI number"},
      {"Z124", "sizes of shared types differ"},
      {"Z125", "built for another LibTorch"},
      {"Z126", "built with another C++ standard library"},
      {"Z127", "built with another sanitizer"},
      {"Z128", "needs instructions that this processor lacks"},
      {"Z129", "needs CUDA, which this process has not"},
      {"Z131", "one plugin id twice in a folder"},
      {"Z132", "a part offered by several plugins"},
      {"Z133", "links another LibTorch"},
      {"Z134", "brings a second OpenMP"},
      {"Z135", "carries its own C++ runtime"},
      {"Z136", "no such part"},
      {"Z141", "the file differs from the lock, or is not on the allow list"},
      {"Z142", "folder or file that others may change"},
      {"Z151", "cannot be linked"},
      {"Z152", "died while loading"},
      {"Z153", "did not finish loading in time"},
      {"Z154", "ended the process while loading"},
      {"Z155", "the entry function failed"},
      {"Z156", "the table is too small"},
      {"Z157", "tag and table list different parts"},
      {"Z158", "an option table that contradicts itself"},
      {"Z161", "warning: printed while loading"},
      {"Z162", "warning: changed floating-point control while loading"},
      {"Z163", "warning: changed global state while loading"},
      {"Z171", "a part could not be created"},
  };
  return table;
}

}  // namespace zstar::plugins
