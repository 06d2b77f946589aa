/// \file A plugin of the SDK that is compiled with flags or headers that change how it is built. Without them it loads.
#ifdef ZSTAR_PACKED  // what -fpack-struct=4 does, but to the types of zstar alone: headers of later LibTorch do not compile under it
#include <torch/torch.h>
#pragma pack(4)
#endif
#include <zstar/plugin.hpp>

namespace {

class Flags final : public zstar::Object {
 public:
  explicit Flags(zstar::Host&) {}
};

}  // namespace

ZSTAR_PLUGIN("fixture.flags", "0.1.0", "compiled with other flags")
ZSTAR_PART(Object, solver, Flags, "flags", "compiled with other flags")
