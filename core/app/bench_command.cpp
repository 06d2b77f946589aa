/// \file zstar bench solvers.
#include <algorithm>
#include <iostream>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "core/app/command.hpp"
#include "core/app/solver_bench.hpp"
#include "core/runs/plot.hpp"
#include "core/training/cells.hpp"
#include "zstar/nearest.hpp"

namespace zstar::app {
namespace {

/// What solvers of a benchmark may ask for: inner products and other solvers.
class SolverHost final : public Host {
 public:
  explicit SolverHost(plugins::Catalogue& catalogue) : catalogue_(catalogue) {}
  Products& products() override { return solve::local_products(); }
  std::unique_ptr<Solver> solver(const Part& p) override { return catalogue_.create<Solver>(Kind::solver, p.name, p.settings, *this); }
  std::shared_ptr<EquilibriumLayer> layer() override { throw std::logic_error("a solver has no layer"); }
  std::shared_ptr<Norm> norm() override { return nullptr; }
  const Description& data() override { return description_; }
  void warn(std::string_view) override {}

 private:
  plugins::Catalogue& catalogue_;
  Description description_;
};

struct Column {
  std::string title, name;
  std::vector<BenchResult> results;  // by problem
};

const std::vector<double> taus{1, 1.25, 1.5, 2, 3, 4, 6, 10};

std::vector<Column> columns(const Arguments& arguments, const plugins::Catalogue& catalogue) {
  const auto all = catalogue.names(Kind::solver);
  std::vector<std::string> names = arguments.list("only");
  if (names.empty()) names = all;
  std::vector<Column> list;
  for (const std::string& name : names) {
    if (std::find(all.begin(), all.end(), name) == all.end()) {
      const auto near = nearest(name, all);
      throw po::error(fmt::format("no solver '{}'{}", name, near.empty() ? "" : "; did you mean: " + quoted(near) + "?"));
    }
    const auto copies = std::count_if(list.begin(), list.end(), [&](const Column& c) { return c.name == name; });
    list.push_back({copies == 0 ? name : fmt::format("{} ({})", name, copies + 1), name, {}});
  }
  return list;
}

std::vector<std::vector<std::int64_t>> evaluations_of(const std::vector<Column>& list) {
  std::vector<std::vector<std::int64_t>> all;
  for (const Column& c : list) {
    all.emplace_back();
    for (const BenchResult& r : c.results) all.back().push_back(r.evaluations);
  }
  return all;
}

/// "first solver: best on so many problems"; a tie is nobody's, so that two runs of one solver have no winner.
std::vector<std::int64_t> wins(const std::vector<std::vector<std::int64_t>>& evaluations) {
  std::vector<std::int64_t> count(evaluations.size(), 0);
  for (std::size_t p = 0; !evaluations.empty() && p < evaluations[0].size(); ++p) {
    std::vector<std::pair<std::int64_t, std::size_t>> solved;
    for (std::size_t s = 0; s < evaluations.size(); ++s)
      if (evaluations[s][p] > 0) solved.emplace_back(evaluations[s][p], s);
    std::sort(solved.begin(), solved.end());
    if (!solved.empty() && (solved.size() == 1 || solved[0].first < solved[1].first)) ++count[solved[0].second];
  }
  return count;
}

/// Of the problems that `peers` solve: on how many `name` needs no more evaluations than the best of them, and how many it fails.
void print_against(const std::vector<Column>& list, const std::string& name, const std::vector<std::string>& peers) {
  const auto find = [&](const std::string& n) { return std::find_if(list.begin(), list.end(), [&](const Column& c) { return c.name == n; }); };
  if (find(name) == list.end()) return;
  std::size_t solved = 0, no_worse = 0, failed = 0;
  for (std::size_t p = 0; p < find(name)->results.size(); ++p) {
    std::int64_t best = 0;
    for (const std::string& peer : peers)
      if (const auto c = find(peer); c != list.end() && c->results[p].evaluations > 0) best = best == 0 ? c->results[p].evaluations : std::min(best, c->results[p].evaluations);
    if (best == 0) continue;
    const std::int64_t own = find(name)->results[p].evaluations;
    ++solved, no_worse += own > 0 && own <= best, failed += own == 0;
  }
  if (solved > 0)
    std::cout << fmt::format("{} against the best of {}: no more evaluations on {} of the {} problems that they solve ({:.1f} %), {} of them not solved\n", name,
                             fmt::join(peers, ", "), no_worse, solved, 100.0 * static_cast<double>(no_worse) / static_cast<double>(solved), failed);
}

void print(const std::vector<Column>& list, std::size_t problems) {
  const auto evaluations = evaluations_of(list);
  const auto profile = performance_profile(evaluations, taus);
  const auto won = wins(evaluations);
  std::cout << fmt::format("{} problems; share solved within τ times the evaluations of the best\n\n{:<28}{:>7}{:>6}{:>10}{:>9}", problems, "solver", "solved", "best", "µs/eval", "kB");
  for (const double tau : taus) std::cout << fmt::format("{:>7}", tau);
  std::cout << "  failures\n";
  for (std::size_t s = 0; s < list.size(); ++s) {
    double time = 0, bytes = 0;
    std::int64_t count = 0, solved = 0;
    std::map<std::string, int> reasons;
    for (const BenchResult& r : list[s].results) {
      if (r.evaluations > 0) time += r.microseconds, count += r.evaluations, ++solved;
      else ++reasons[solve::text_of(r.reason).name];
      bytes = std::max(bytes, static_cast<double>(r.bytes));
    }
    std::cout << fmt::format("{:<28}{:>7}{:>6}{:>10.1f}{:>9.0f}", list[s].title, solved, won[s], count ? time / static_cast<double>(count) : 0.0, bytes / 1024);
    for (const double share : profile[s]) std::cout << fmt::format("{:>7.2f}", share);
    for (const auto& [reason, n] : reasons) std::cout << fmt::format("  {} {}", reason, n);
    std::cout << '\n';
  }
  std::cout << '\n';
  for (const char* name : {"anderson", "broyden", "chain"}) print_against(list, name, {"torchdeq_fixed_point", "torchdeq_anderson", "torchdeq_broyden"});
}

nlohmann::ordered_json to_json(const std::vector<Column>& list, const std::vector<BenchProblem>& problems) {
  nlohmann::ordered_json json{{"problems", nlohmann::ordered_json::array()}, {"tau", taus}, {"solvers", nlohmann::ordered_json::array()}};
  for (const BenchProblem& p : problems) json["problems"].push_back({{"family", p.family}, {"name", p.name}});
  const auto evaluations = evaluations_of(list);
  const auto profile = performance_profile(evaluations, taus);
  const auto won = wins(evaluations);
  for (std::size_t s = 0; s < list.size(); ++s) {
    nlohmann::ordered_json one{{"name", list[s].title}, {"best", won[s]}, {"profile", profile[s]}, {"results", nlohmann::ordered_json::array()}};
    for (const BenchResult& r : list[s].results)
      one["results"].push_back({{"evaluations", r.evaluations}, {"microseconds", r.microseconds}, {"bytes", r.bytes}, {"reason", solve::text_of(r.reason).name}});
    json["solvers"].push_back(std::move(one));
  }
  return json;
}

std::string draw(const std::vector<Column>& list, const std::string& file) {
  std::vector<double> steps;
  for (double tau = 1; tau <= 10; tau += 0.1) steps.push_back(tau);
  const auto profile = performance_profile(evaluations_of(list), steps);
  runs::Panels panels;
  for (std::size_t s = 0; s < list.size(); ++s) {
    std::string points;
    for (std::size_t i = 0; i < steps.size(); ++i) points += fmt::format("{} {}\n", steps[i], profile[s][i]);
    panels["share of problems within this multiple of the best"].emplace_back(list[s].title, points);
  }
  return runs::draw(file, panels, "τ, evaluations divided by those of the best solver");
}

double number(const Arguments& arguments, const char* name, double fallback) { return arguments.has(name) ? arguments.values[name].as<double>() : fallback; }

/// The synthetic problems and the cells of the runs that were named, of the families that were named.
std::vector<BenchProblem> problems_of(const Arguments& arguments, const std::vector<training::FrozenCell>& cells) {
  const double seeds = number(arguments, "seeds", 3);
  if (!(seeds >= 1 && seeds <= 1000)) throw po::error("--seeds takes a number from 1 to 1000");
  std::vector<BenchProblem> all = bench_problems(static_cast<std::uint64_t>(seeds));
  for (const auto& cell : cells) all.push_back({"cells", cell.name, cell.f, cell.z0});
  const auto wanted = arguments.list("family");
  if (wanted.empty()) return all;
  std::vector<std::string> families;
  for (const BenchProblem& p : all)
    if (std::find(families.begin(), families.end(), p.family) == families.end()) families.push_back(p.family);
  for (const std::string& family : wanted)
    if (std::find(families.begin(), families.end(), family) == families.end())
      throw po::error(fmt::format("no family '{}'; there are {}{}", family, quoted(families), family == "cells" ? ", and 'cells' with --cells RUN" : ""));
  all.erase(std::remove_if(all.begin(), all.end(), [&](const BenchProblem& p) { return std::find(wanted.begin(), wanted.end(), p.family) == wanted.end(); }), all.end());
  return all;
}

int bench(const Arguments& arguments) {
  if (arguments.text("what") != "solvers") throw po::error("bench takes 'solvers'");
  const torch::NoGradGuard no_grad;
  plugins::Catalogue catalogue(discovery(arguments));
  SolverHost host(catalogue);
  std::vector<training::FrozenCell> cells;
  for (const std::string& folder : arguments.list("cells"))
    for (auto& cell : training::frozen_cells(folder, catalogue, static_cast<std::int64_t>(number(arguments, "samples", 4)), std::cerr)) cells.push_back(std::move(cell));
  const auto problems = problems_of(arguments, cells);
  auto list = columns(arguments, catalogue);
  solve::Options options;
  options.tolerance = number(arguments, "tolerance", 1e-6);
  options.max_evaluations = static_cast<std::int64_t>(number(arguments, "budget", 200));
  if (!(options.tolerance > 0) || options.max_evaluations < 1) throw po::error("the tolerance must be above 0 and the budget at least 1");
  options.stall_window = 0;
  for (const BenchProblem& problem : problems)
    for (Column& c : list)
      c.results.push_back(bench_solve([&] { return host.solver({c.name, {}}); }, c.name, problem, options));
  if (arguments.has("json")) std::cout << to_json(list, problems).dump(1) << '\n';
  else print(list, problems.size());
  if (!arguments.has("svg")) return done;
  const std::string sentence = draw(list, arguments.text("svg"));
  if (!sentence.empty()) std::cerr << "zstar: warning: " << sentence << '\n';
  return sentence.empty() ? done : failed;
}

}  // namespace

Command bench_command() {
  po::options_description options("options");
  options.add_options()("what", value_of("WHAT"), "solvers")("only", values_of("SOLVER"), "this solver; may be repeated, the same one too")(
      "tolerance", po::value<double>()->value_name("ε"), "relative residual to reach (1e-6)")("budget", po::value<double>()->value_name("N"), "evaluations allowed (200)")(
      "seeds", po::value<double>()->value_name("N"), "draws of each synthetic problem (3)")(
      "cells", values_of("FOLDER"), "trained models, frozen, as further problems: a run folder, or a folder of them; may be repeated")(
      "samples", po::value<double>()->value_name("N"), "of the first batch of each of these models (4)")("family", values_of("NAME"), "problems of this family alone; may be repeated")(
      "svg", value_of("FILE"), "draw the performance profiles; gnuplot's script and data are kept beside it");
  add_json_option(options);
  add_plugin_options(options);
  return {"bench", "bench solvers [options]", "compare all installed solvers on problems of known difficulty",
          "Runs every solver with its default options on synthetic families (contractions, stiff and negative spectra, rotations,\n"
          "expansive maps, tanh and relu layers, scales) and prints evaluations to the tolerance as Dolan-More performance profiles:\n"
          "the share of all problems that a solver finishes within τ times the evaluations of the best one. A solver dropped into a\n"
          "plugin folder is among them. 'best' counts the problems on which a solver was best alone. --cells adds the maps of trained models\n"
          "at their best weights, in float64 and evaluation mode, solved from zero.",
          {"what"}, std::move(options), bench,
          {{"bench solvers", "all solvers"}, {"bench solvers --only anderson --only anderson", "one solver against itself: nobody wins"},
           {"bench solvers --svg profiles.svg", "the profiles as a picture"},
           {"bench solvers --cells runs --family cells", "on all models trained so far"}},
          [](const Arguments&, const std::vector<std::string>& given) { return given.empty() ? std::vector<std::string>{"solvers"} : std::vector<std::string>{}; }};
}

}  // namespace zstar::app
