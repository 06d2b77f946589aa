/// \file FlyingChairs, FlyingThings3D, Sintel, KITTI 2015 and HD1K in their official layouts.
#include "official.hpp"

namespace {

using namespace zstar_flow_files;
using FlyingChairs = Official<Chairs>;
using FlyingThings = Official<Things>;
using SintelFlow = Official<Sintel>;
using KittiFlow = Official<Kitti>;
using Hd1kFlow = Official<Hd1k>;

}  // namespace

ZSTAR_DATASET(FlyingChairs, "flying_chairs", "FlyingChairs: .ppm pairs and .flo")
ZSTAR_DATASET(FlyingThings, "flying_things", "FlyingThings3D: frames and .pfm flow in both directions")
ZSTAR_DATASET(SintelFlow, "sintel", "MPI Sintel: training scenes, clean and final")
ZSTAR_DATASET(KittiFlow, "kitti_flow", "KITTI 2015: sparse flow as 16-bit PNG")
ZSTAR_DATASET(Hd1kFlow, "hd1k", "HD1K: sparse flow as 16-bit PNG")
