#pragma once
/// \file Splits of nodes in npz files.

#include "nodes.hpp"
#include "zstar/formats/arrays.hpp"

namespace zstar_graphs {
namespace {

/// Arrays train…, val…, test… of a npz file, as truth values.
inline std::vector<Tensor> masks_of(const fs::path& file, const std::string& suffix) {
  return about(file, [&] {
    const Bytes bytes = read_file(file);
    const zstar::formats::Npz npz(bytes);
    return splits_of({npz.array("train" + suffix), npz.array("val" + suffix), npz.array("test" + suffix)});
  });
}

/// The split of Pei et al. with that number, in `folder` or in `splits` below or beside it.
inline fs::path geom_split(const fs::path& folder, const std::string& name, std::int64_t split) {
  const std::string file = name + "_split_0.6_0.2_" + std::to_string(split) + ".npz";
  for (const fs::path& place : {folder, folder / "splits", folder / ".." / "splits", folder / ".." / ".." / "splits"})
    if (const fs::path found = find_file(place, file); !found.empty()) return found;
  throw std::runtime_error(folder.string() + " holds no split " + file + ", nor does a folder 'splits' in it or beside it\n  remedy: name it with the option splits, or choose a split from 0 to 9");
}

}  // namespace
}  // namespace zstar_graphs
