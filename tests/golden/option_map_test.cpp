/// \file The map of TorchDEQ's names (docs/torchdeq_options.md) is complete, and what it points to exists.
#include <algorithm>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "core/training/session.hpp"
#include "tests/support/parts.hpp"

namespace {

using namespace zstar;

/// Public names, options of the layer and of its command line, arguments of a call.
const char* const names_there[] = {
    "get_deq", "reset_deq", "register_deq", "DEQSliced", "DEQIndexing", "DEQBase", "get_solver", "register_solver", "solver_stat_from_final_step", "fixed_point_iter",
    "simple_fixed_point_iter", "anderson", "broyden", "backward_factory", "apply_norm", "reset_norm", "remove_norm", "register_norm", "register_norm_module", "weight_norm",
    "spectral_norm", "none", "VariationalDropout", "1d", "2d", "3d", "VariationalDropToken1d", "reset_dropout", "fp_correction", "register_weight_func", "jac_reg", "power_method",
    "add_deq_args", "mixed_init", "mem_gc", "DEQConfig", "core", "f_solver", "b_solver", "f_max_iter", "b_max_iter", "f_tol", "b_tol", "f_stop_mode", "b_stop_mode", "eval_factor",
    "eval_f_max_iter", "ift", "hook_ift", "grad", "tau", "sup_gap", "sup_loc", "n_states", "indexing", "no_stat", "norm_type", "norm_no_scale", "norm_clip", "norm_clip_value",
    "norm_target_norm", "sn_n_power_iters", "gamma", "jac_loss_weight", "jac_loss_freq", "jac_incremental", "sradius_mode", "solver_kwargs", "m", "lam", "ls", "LBFGS_thres",
    "return_final", "tol", "stop_mode", "backward_writer", "abs_lowest", "rel_lowest", "abs_trace", "rel_trace", "nstep", "sradius", "filter_out", "prefix_filter_out"};

struct Cells {
  std::string there, here;
};

/// The first two cells of every row.
std::vector<Cells> rows() {
  std::ifstream in(ZSTAR_SOURCE_DIR "/docs/torchdeq_options.md");
  std::vector<Cells> all;
  for (std::string line; std::getline(in, line);) {
    if (line.compare(0, 2, "| ") != 0 || line.find("| there") == 0) continue;
    const auto first = line.find(" | ", 2), second = line.find(" |", first + 3);
    all.push_back({line.substr(2, first - 2), line.substr(first + 3, second - first - 3)});
  }
  return all;
}

/// "a, b of c: d" has the words a, b, of, c, d.
std::set<std::string> words(const std::string& text) {
  std::set<std::string> found;
  const std::regex word("[A-Za-z0-9_]+");
  for (auto w = std::sregex_iterator(text.begin(), text.end(), word); w != std::sregex_iterator(); ++w) found.insert(w->str());
  return found;
}

TEST(OptionMap, EveryNameOfTorchdeqHasItsRow) {
  std::set<std::string> mapped;
  for (const Cells& row : rows()) mapped.merge(words(row.there));
  for (const char* name : names_there) EXPECT_TRUE(mapped.count(name)) << name;
}

bool known(const std::vector<OptSpec>& options, const std::string& key) {
  return std::any_of(options.begin(), options.end(), [&](const OptSpec& o) { return o.name == key; });
}

/// Whether a table of the experiment takes the key: the framework's, an option of any part that it may name, or a table inside.
bool taken(const experiment::SectionSpec& section, const std::string& key) {
  const auto dot = key.find('.');
  if (dot != std::string::npos) {
    const auto inner = std::find_if(section.nested.begin(), section.nested.end(), [&](const auto& s) { return s.name == key.substr(0, dot); });
    return inner != section.nested.end() && taken(*inner, key.substr(dot + 1));
  }
  if (known(section.framework, key) || (key == "name" && section.kind)) return true;
  if (!section.kind) return false;
  for (const std::string& part : test::catalogue().names(*section.kind))
    if (known(test::catalogue().options(*section.kind, part), key)) return true;
  return false;
}

TEST(OptionMap, EveryKeyThatItPointsToExists) {
  const experiment::Schema schema = training::schema();
  const std::regex key("`([a-z]+)\\.([a-z_.]+)[ `]");
  int seen = 0;
  for (const Cells& row : rows())
    for (auto k = std::sregex_iterator(row.here.begin(), row.here.end(), key); k != std::sregex_iterator(); ++k) {
      const auto section = std::find_if(schema.begin(), schema.end(), [&](const auto& s) { return s.name == (*k)[1].str(); });
      ASSERT_NE(section, schema.end()) << row.here;
      EXPECT_TRUE(taken(*section, (*k)[2].str())) << row.here;
      ++seen;
    }
  EXPECT_GT(seen, 30);
}

}  // namespace
