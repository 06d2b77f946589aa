#pragma once
/// \file The probe: a file that is new to this build of the program is first loaded by a child process of the same program. A
/// crash barrier, not a sandbox.

#include <string>

#include "core/plugins/held_file.hpp"
#include "core/plugins/refusal.hpp"

namespace zstar::plugins {

/// Starts `settings.program` as a child that loads, enters, creates each part with its defaults, makes one throw, and answers.
/// A good answer is kept in the cache, by SHA-256 of the file and build id of the program.
/// \throws PluginError  Z152 it died, Z153 it did not finish, Z154 it ended the process; what the child itself was refused for
ProbeReport probe(const HeldFile& file, const ProbeSettings& settings);

/// The same, unless the cache knows the file.
void probe_once(const HeldFile& file, const ProbeSettings& settings);

/// The role of the child: never returns. \param words  FILE and a nonce, which the answer on descriptor 3 repeats
[[noreturn]] void answer_probe(const std::string& file, const std::string& nonce);

inline constexpr int probe_descriptor = 3;
/// Between the fields of an answer.
inline constexpr char field_end = '\x1e';

}  // namespace zstar::plugins
