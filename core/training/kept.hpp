#pragma once
/// \file What a run keeps of its data set, and what is made with it again.

#include <filesystem>
#include <string>
#include <vector>

#include "zstar/abi/dataset.hpp"

namespace zstar::training {

/// Writes what a data set wants kept to RUN/kept, one file PART.OPTION each. Files that are there stay. \param part  name of the data set
/// \throws runs::RunError
void keep(Dataset& data, const std::string& part, const std::filesystem::path& run);

/// Overrides "dataset.OPTION=FILE" for what the folder of a run keeps of the data set `part`; none for other folders.
std::vector<std::string> kept_by(const std::filesystem::path& run, const std::string& part);

}  // namespace zstar::training
