/// \file zstar verify.
#include <fstream>
#include <iostream>
#include <set>

#include <nlohmann/json.hpp>

#include "core/app/verify_command.hpp"

namespace zstar::app {
namespace {

namespace fs = std::filesystem;
using verify::Outcome;
using verify::Result;

struct Tally {
  std::size_t passed = 0, failed = 0, skipped = 0;
};

Tally tally(const std::vector<Result>& results) {
  Tally t;
  for (const Result& r : results) ++(r.outcome == Outcome::passed ? t.passed : r.outcome == Outcome::failed ? t.failed : t.skipped);
  return t;
}

const char* word(Outcome outcome) { return outcome == Outcome::passed ? "pass" : outcome == Outcome::failed ? "FAIL" : "skip"; }

void print_line(const Result& r, bool passed_too) {
  if (r.outcome == Outcome::passed && !passed_too) return;
  std::cout << word(r.outcome) << "  " << plugins::to_string(r.kind) << ' ' << r.part << ": " << r.check;
  if (!r.why.empty()) std::cout << ": " << r.why;
  const char* separator = "  (";
  for (const auto& [name, value] : r.numbers) std::cout << separator << name << ' ' << verify::text(value), separator = ", ";
  std::cout << (r.numbers.empty() ? "\n" : ")\n");
}

nlohmann::ordered_json json_of(const std::vector<Result>& results) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const Result& r : results) {
    nlohmann::ordered_json entry{{"kind", plugins::to_string(r.kind)}, {"part", r.part}, {"check", r.check}, {"outcome", word(r.outcome)}, {"seed", r.seed}, {"seconds", r.seconds}};
    if (r.outcome == Outcome::failed) entry["outcome"] = "fail";
    if (!r.why.empty()) entry["why"] = r.why;
    for (const auto& [name, value] : r.numbers) entry["numbers"][name] = value;
    json.push_back(std::move(entry));
  }
  return json;
}

void write_whole(const fs::path& file, const std::string& content) {
  std::ofstream out(file, std::ios::binary);
  out << content;
  if (!out.flush()) throw std::runtime_error("'" + file.string() + "' could not be written");
}

/// The files that were named, and those of the folders that were named.
std::vector<fs::path> files_of(const std::vector<std::string>& words) {
  std::vector<fs::path> files;
  for (const std::string& word : words) {
    if (!fs::is_directory(word)) {
      files.emplace_back(word);
      continue;
    }
    std::set<fs::path> found;
    for (const auto& entry : fs::directory_iterator(word))
      if (entry.path().extension() == ".so") found.insert(entry.path());
    if (found.empty()) throw po::error("the folder '" + word + "' holds no plugin");
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

int verify_named(const Arguments& arguments) {
  const auto words = arguments.list("file");
  if (arguments.has("list")) {
    for (const auto& check : verify::all_checks()) std::cout << plugins::to_string(check.kind) << '.' << check.name << ": " << check.doc << '\n';
    return done;
  }
  if (words.empty()) throw po::error("no plugin file was given");
  verify::Request request;
  request.only = arguments.list("only");
  request.seed = seed_of(arguments);
  const bool plain = !arguments.has("json") && !arguments.has("tap"), all = arguments.has("verbose");
  const auto results = verify_files(arguments, files_of(words), request, [&](const Result& r) {
    if (plain) print_line(r, all);
  });
  if (arguments.has("junit")) write_whole(arguments.text("junit"), verify::junit(results));
  if (arguments.has("json")) std::cout << json_of(results).dump(2) << '\n';
  else if (arguments.has("tap")) std::cout << verify::tap(results);
  else print_verdict(results);
  if (results.empty()) throw po::error("no check has a name that --only matches; 'zstar verify --list' names them");
  return tally(results).failed == 0 ? done : failed;
}

}  // namespace

std::vector<Result> verify_files(const Arguments& arguments, const std::vector<fs::path>& files, const verify::Request& request,
                                 const std::function<void(const Result&)>& seen) {
  plugins::Discovery d = discovery(arguments);
  d.files = files;
  plugins::Catalogue catalogue(d);
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < files.size(); ++i) indices.push_back(i);
  const at::Generator generator = at::globalContext().defaultGenerator(torch::kCPU);
  at::Generator(generator).set_current_seed(request.seed);
  return verify::verify(catalogue, indices, request, seen);
}

void print_verdict(const std::vector<Result>& results) {
  const Tally t = tally(results);
  std::cout << t.passed << " passed, " << t.failed << " failed, " << t.skipped << " skipped";
  if (!results.empty()) std::cout << "; seed " << results.front().seed;
  std::cout << '\n';
}

Command verify_command() {
  po::options_description options("options");
  options.add_options()("file", values_of("FILE"), "plugin, or a folder of plugins; may be repeated")(
      "only", values_of("KIND.PART.CHECK"), "checks to run, '*' for any characters; may be repeated")(
      "tap", "results as TAP")("junit", value_of("FILE"), "write the results as a JUnit file, too")("verbose", "name what passed, too")("list", "name all checks and what they ask");
  add_seed_option(options, "of all random problems; 1 if not given");
  add_json_option(options);
  add_plugin_options(options);
  return {"verify", "verify FILE…", "hold a plugin to everything that its kind must do",
          "Runs the conformance suite of every part in the file: what the contract asks of all parts of its kind, and what the part\n"
          "claims. What failed and what was skipped is printed with the reason. Exit status 1 if a check fails.",
          {"file"}, std::move(options), verify_named,
          {{"verify build/zstar-mine.so", "all checks of all parts in the library"},
           {"verify build/zstar-mine.so --only 'solver.*.keep' --seed 7", "one check, with other random problems"},
           {"verify build/zstar-mine.so --junit verify.xml", "for a build server"}}};
}

}  // namespace zstar::app
