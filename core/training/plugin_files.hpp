#pragma once
/// \file Files about plugins: the user's configuration, and lock files. Both are checked as experiments are.

#include <filesystem>

#include "core/plugins/lock.hpp"

namespace zstar::training {

/// Reads a lock file. \throws experiment::Refused
plugins::Lock read_lock(const std::filesystem::path& file);

/// $XDG_CONFIG_HOME/zstar/config.toml; empty in a privileged process.
std::filesystem::path configuration_file();

/// Adds `[plugins] folders, trust, allow` of a configuration file to a discovery. \throws experiment::Refused
void apply_configuration(const std::filesystem::path& file, plugins::Discovery& discovery);

/// Writes the lock file of what an experiment uses; entries of plugins that it does not use are kept, for they are of other
/// experiments of the folder. \return  why the file that was there could not be read, and was replaced; empty: nothing was wrong with it
std::string update_lock(const std::filesystem::path& file, const plugins::Catalogue& catalogue);

/// The lock of what a catalogue used.
plugins::Lock lock_of(const plugins::Catalogue& catalogue);

}  // namespace zstar::training
