/// \file What passes between the program and its plugins, and between plugins: types, symbols, exceptions, options, process state.
/// Two libraries of one source, fixture.one and fixture.two, show what they see.
#include <dlfcn.h>
#include <elf.h>

#include <chrono>
#include <clocale>
#include <cstring>
#include <set>
#include <sstream>

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/serialize.h>

#include "core/plugins/process_state.hpp"
#include "core/training/loader.hpp"
#include "core/training/penalties.hpp"
#include "core/training/prediction.hpp"
#include "core/training/session.hpp"
#include "core/training/weights.hpp"
#include "tests/plugins/broken/mirror.hpp"
#include "tests/support/parts.hpp"
#include "tests/support/process.hpp"
#include "zstar/abi/model.hpp"
#include "zstar/guard.hpp"

namespace {

namespace fs = std::filesystem;
using namespace zstar;
using fixture::Mirror;
using plugins::Catalogue;
using ::testing::HasSubstr;
using ::testing::Not;

Catalogue& fixtures() {
  static Catalogue both([] {
    plugins::Discovery d;
    d.user_folders = false;
    d.files = {ZSTAR_FIXTURE_DIR "/one.so", ZSTAR_FIXTURE_DIR "/two.so"};
    return d;
  }());
  return both;
}

std::unique_ptr<Solver> same(const std::string& id, const Settings& settings = {}) {
  return fixtures().create<Solver>(Kind::solver, "fixture." + id + ":same", settings, test::host());
}
Mirror& mirror(Object& object) { return *query<Mirror>(object); }

/// The sentence of a failure under the guard.
template <class F>
std::string sentence(const F& body, std::string* log = nullptr) {
  try {
    body();
  } catch (const PartError& error) {
    if (log) *log = error.log();
    return error.what();
  }
  return "";
}

const FixedPointMap halved([](const State& z) { return State(z[0] / 2); });

/// Solves with a fixture that throws in a call.
std::string failing_solve(const std::string& call, const std::string& how, std::string* log = nullptr) {
  const auto solver = same("one", {{"fail_in", call}, {"how", how}});
  return sentence([&] { solve::solve(*solver, "same", halved, State(torch::ones({4, 16})), {}); }, log);
}

TEST(Rtti, CatchAndCastAcrossHiddenLibraries) {  // M1
  const auto one = same("one");
  EXPECT_THROW(mirror(*one).fail("check"), c10::Error);
  EXPECT_THROW(mirror(*one).fail("value"), c10::ValueError);
  EXPECT_THROW(mirror(*one).fail("range"), std::out_of_range);
  EXPECT_THROW(mirror(*one).fail("own"), std::exception);
  Object& object = *one;
  EXPECT_NE(dynamic_cast<Solver*>(&object), nullptr);
  EXPECT_EQ(dynamic_cast<Model*>(&object), nullptr);
}

TEST(Rtti, SameNameInTwoPluginsStaysApart) {  // M2
  const auto one = same("one"), two = same("two");
  EXPECT_TRUE(mirror(*one).is_own_class(*one));
  EXPECT_TRUE(mirror(*two).is_own_class(*two));
  EXPECT_FALSE(mirror(*one).is_own_class(*two));
  EXPECT_FALSE(mirror(*two).is_own_class(*one));
}

TEST(Symbols, SameClassNamesGiveTheirOwnResults) {  // M3
  const auto one = same("one"), two = same("two");
  EXPECT_EQ(mirror(*one).factor(), 2);
  EXPECT_EQ(mirror(*two).factor(), 3);
  for (const auto& [solver, factor] : {std::pair(&one, 2.0), std::pair(&two, 3.0)}) {
    const Tensor x = torch::ones({3}, torch::requires_grad());
    const Tensor y = mirror(**solver).scaled(x);
    y.sum().backward();
    EXPECT_EQ(y[0].item<double>(), factor);
    EXPECT_EQ(x.grad()[0].item<double>(), factor);  // its own backward
  }
}

/// Names and bindings of the defined dynamic symbols of a library, by its section headers.
std::vector<std::pair<std::string, int>> exported(const fs::path& file) {
  const std::string bytes = test::read_file(file);
  const auto at = [&]<class T>(std::uint64_t offset, T value) { return std::memcpy(&value, bytes.data() + offset, sizeof value), value; };
  const auto header = at(0, Elf64_Ehdr{});
  std::vector<std::pair<std::string, int>> found;
  for (int i = 0; i < header.e_shnum; ++i) {
    const auto table = at(header.e_shoff + static_cast<std::uint64_t>(i) * sizeof(Elf64_Shdr), Elf64_Shdr{});
    if (table.sh_type != SHT_DYNSYM) continue;
    const auto names = at(header.e_shoff + table.sh_link * sizeof(Elf64_Shdr), Elf64_Shdr{});
    for (std::uint64_t k = 1; k < table.sh_size / sizeof(Elf64_Sym); ++k) {
      const auto symbol = at(table.sh_offset + k * sizeof(Elf64_Sym), Elf64_Sym{});
      if (symbol.st_shndx != SHN_UNDEF) found.emplace_back(bytes.data() + names.sh_offset + symbol.st_name, ELF64_ST_BIND(symbol.st_info));
    }
  }
  return found;
}

std::vector<fs::path> all_plugins() {
  std::vector<fs::path> files{ZSTAR_FIXTURE_DIR "/one.so"};
  for (const auto& entry : fs::directory_iterator(ZSTAR_PLUGIN_DIR))
    if (entry.path().extension() == ".so") files.push_back(entry.path());
  return files;
}

TEST(Symbols, OnlyTheTwoNamesAreExported) {  // M5
  for (const fs::path& file : all_plugins()) {
    std::set<std::string> names;
    for (const auto& [name, binding] : exported(file)) names.insert(name);
    EXPECT_EQ(names, (std::set<std::string>{"zstar_plugin_entry", "zstar_plugin_tag"})) << file;
  }
}

TEST(Symbols, NoUniqueSymbolInAnyPlugin) {  // M4
  for (const fs::path& file : all_plugins())
    for (const auto& [name, binding] : exported(file)) EXPECT_NE(binding, STB_GNU_UNIQUE) << file << ' ' << name;
}

TEST(Lifetime, EverythingSurvivesReleaseOfTheHandle) {  // M6
  auto one = same("one");
  const auto function = mirror(*one).function();
  auto pointer = mirror(*one).pointer();
  const std::exception_ptr exception = mirror(*one).exception();
  const std::string_view literal = mirror(*one).literal();
  Tensor blob = mirror(*one).blob();
  const Tensor x = torch::ones({3}, torch::requires_grad());
  const Tensor y = mirror(*one).scaled(x);
  one.reset();

  void* handle = ::dlopen(ZSTAR_FIXTURE_DIR "/one.so", RTLD_NOLOAD | RTLD_NOW);
  ASSERT_NE(handle, nullptr);
  for (int i = 0; i < 3; ++i) ::dlclose(handle);  // this one and the host's

  EXPECT_EQ(function(), 2);
  EXPECT_EQ(*pointer, 2);
  pointer.reset();
  EXPECT_THAT(sentence([&] { guarded([] { return "it"; }, [&] { std::rethrow_exception(exception); }); }), HasSubstr("an error of the plugin's own"));
  EXPECT_EQ(literal, "a literal of fixture.one");
  EXPECT_EQ(blob.sum().item<double>(), 8);
  blob.reset();
  y.sum().backward();
  EXPECT_EQ(x.grad()[0].item<double>(), 2);
}

TEST(Options, CrossByName) {  // M15: in any order, some of them, and of names that a later version will have
  const Tensor z = torch::ones({1, 1}), fz = torch::zeros({1, 1});
  const auto next = [&](const Settings& settings) { return same("one", settings)->propose(z, fz).item<double>(); };
  EXPECT_EQ(next({}), 0.5);
  EXPECT_EQ(next({{"real", 0.25}, {"number", std::int64_t{3}}}), 2.25);
  EXPECT_EQ(next({{"number", std::int64_t{3}}, {"real", 0.25}}), 2.25);
  EXPECT_EQ(next({{"of_another_version", 7.0}, {"real", 0.25}}), 0.25);
}

TEST(State, SeenFromPlugins) {  // M18: one LibTorch for all
  const auto one = same("one");
  torch::manual_seed(5);
  const Tensor ours = torch::randn({4});
  torch::manual_seed(5);
  EXPECT_TRUE(mirror(*one).random(4).equal(ours));
  EXPECT_TRUE(mirror(*one).records_gradients());
  {
    const torch::NoGradGuard guard;
    EXPECT_FALSE(mirror(*one).records_gradients());
  }
  EXPECT_FALSE(mirror(*one).autocasts());
  at::autocast::set_cpu_enabled(true);
  EXPECT_TRUE(mirror(*one).autocasts());
  at::autocast::set_cpu_enabled(false);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  EXPECT_EQ(mirror(*one).threads(), 1);
  at::set_num_threads(threads);
}

/// What a solver changes in the process by its calls.
std::vector<std::string> changes_of(Solver& solver) {
  const torch::NoGradGuard no_grad;
  plugins::ProcessState state(plugins::ProcessState::Also::random);
  const Tensor z = torch::ones({3, 2});
  try {
    solver.begin(3, 2);
    solver.propose(z, z / 2);
    solver.keep(torch::tensor({0, 2}));
    solver.propose(z.narrow(0, 0, 2), z.narrow(0, 0, 2) / 2);
  } catch (const std::exception&) {  // one that needs more than iterates; refusing changes nothing either
  }
  return state.restore("in a call");
}

TEST(State, UnchangedAfterEveryCall) {  // M17
  for (const std::string& name : test::catalogue().names(Kind::solver)) {
    const auto solver = [&]() -> std::unique_ptr<Solver> {
      Settings defaults;
      for (const OptSpec& o : test::catalogue().options(Kind::solver, name)) defaults.push_back({o.name, o.def});
      try {
        return test::make_solver(name, defaults);
      } catch (const OptionError&) {
        return nullptr;  // composed of others that it must be told
      }
    }();
    if (!solver || query<Driver>(*solver)) continue;
    EXPECT_THAT(changes_of(*solver), ::testing::IsEmpty()) << name;
  }
  EXPECT_THAT(changes_of(*same("one")), ::testing::IsEmpty());
  const auto changes = changes_of(*same("one", {{"meddle", true}}));
  EXPECT_THAT(changes, ::testing::IsSupersetOf({"changed the locale in a call; undone [Z163]", "changed the default dtype in a call; undone [Z163]",
                                                "changed the number of threads in a call; undone [Z163]"}));
}

TEST(State, WhatACreationChangesIsUndone) {
  const int threads = at::get_num_threads();
  same("two", {{"meddle_at_once", true}});
  EXPECT_EQ(at::get_num_threads(), threads);
  EXPECT_TRUE(torch::GradMode::is_enabled());
  EXPECT_EQ(torch::get_default_dtype(), caffe2::TypeMeta::Make<float>());
  EXPECT_THAT(fixtures().warnings(), ::testing::Contains(HasSubstr("two.so: warning: changed the grad mode while creating solver \"same\"; undone [Z163]")));
}

TEST(Guard, EveryKindOfThrow) {  // M27
  std::string log;
  EXPECT_THAT(failing_solve("propose", "check", &log),
              ::testing::StartsWith("solver 'same' of plugin 'fixture.one' failed in propose ([4, 16] Float, [4, 16] Float): a check of LibTorch"));
  EXPECT_THAT(log, HasSubstr("a check of LibTorch"));
  EXPECT_THAT(failing_solve("propose", "check"), Not(HasSubstr("frame #")));  // the backtrace is in the log alone
  EXPECT_THAT(failing_solve("begin", "value", &log), ::testing::StartsWith("solver 'same' of plugin 'fixture.one' failed in begin ([4, 16] Float): a value error of LibTorch"));
  EXPECT_EQ(failing_solve("propose", "range", &log), "solver 'same' of plugin 'fixture.one' failed in propose ([4, 16] Float, [4, 16] Float): an index out of range");
  EXPECT_EQ(log, "");
  EXPECT_THAT(failing_solve("propose", "own"), HasSubstr(": an error of the plugin's own"));
  EXPECT_THAT(failing_solve("propose", "integer"), HasSubstr(": an exception that is no std::exception"));
}

TEST(Guard, OtherKindsOfParts) {
  const auto data = fixtures().create<Dataset>(Kind::dataset, "fixture.one:failing_data", {}, test::host());
  for (const std::int64_t ahead : {0, 2}) {  // in this thread, and in the loader's
    training::Loader loader(*data, Split::train, {{0, 1}}, 1, 0, ahead);
    EXPECT_EQ(sentence([&] { loader.next(); }), "data set of plugin 'fixture.one' failed in load (batch 0, 2 samples): an exception that is no std::exception");
  }
  const auto choice = test::choice("anderson", {});
  const std::shared_ptr<GradientMethod> method(fixtures().create<GradientMethod>(Kind::gradient, "fixture.two:failing_attach", {}, test::host()));
  gradient::Layer layer({choice, choice, method, method, {}});
  EXPECT_EQ(sentence([&] { layer.solve(halved, State(torch::ones({2, 3}))); }),
            "gradient method of plugin 'fixture.two' failed in attach ([2, 3] Float): an index out of range");
  EXPECT_EQ(sentence([&] { layer.statistics(); }), "gradient method of plugin 'fixture.two' failed in statistics: an index out of range");
  std::vector<training::WeightedRegularizer> penalties(1);
  penalties[0] = {"p", {}, fixtures().create<Regularizer>(Kind::regularizer, "fixture.one:failing_penalty", {{"fail_in", std::string("statistics")}}, test::host())};
  Equilibrium equilibrium;
  equilibrium.states = {State(torch::ones({1, 1}))};
  const Solved solved{halved, equilibrium};
  EXPECT_EQ(sentence([&] { training::Penalties(penalties).added_to(torch::zeros({}), {solved}, 0, at::detail::getDefaultCPUGenerator()); }),
            "regularizer 'p' of plugin 'fixture.one' failed in statistics: a value error of LibTorch");
}

/// A run of the fixtures, of which one fails in a call. \param resume  a run that goes on \param out  takes what is said
std::string failing_run(const std::string& set, const fs::path& runs, const fs::path& resume = {}, std::ostream&& out = std::ostringstream()) {
  plugins::Discovery d;
  d.user_folders = false;
  d.files = {ZSTAR_FIXTURE_DIR "/one.so"};
  d.folders = {ZSTAR_PLUGIN_DIR};
  Catalogue all(d);
  const auto experiment = experiment::Experiment::parse("[dataset]\nname = \"fixture.one:failing_data\"\nfail_in = \"\"\n[model]\nname = \"fixture.one:tree\"\n[train]\nsteps = 1\n",
                                                        "x.toml", {"experiment.runs=" + runs.string(), set}, training::schema(), training::CatalogueTables(all));
  training::RunRequest request;
  request.resume = resume;
  return sentence([&] {
    training::train(experiment, all, request, out);
    training::Session session(experiment, all, out);
    training::export_weights(session.model(), runs / "weights.npz");
    training::load_weights(session.model(), runs / "weights.npz", "");
    training::predict(session, {}, 128);
  });
}

TEST(Guard, EveryCallOfARun) {
  const test::TemporaryFolder folder;
  const std::string data = "data set of plugin 'fixture.one' failed in ", model = "model of plugin 'fixture.one' failed in ";
  ASSERT_EQ(failing_run("experiment.name=good", folder.path), "");
  for (const char* call : {"size", "batches"}) EXPECT_EQ(failing_run(std::string("dataset.fail_in=") + call, folder.path), data + call + ": an exception that is no std::exception");
  for (const char* call : {"begin_pass", "carried", "own_name", "predict", "values"}) EXPECT_EQ(failing_run(std::string("model.fail_in=") + call, folder.path), model + call + ": a check of LibTorch");
  std::ostringstream out;
  EXPECT_THROW(failing_run("model.fail_in=carry", folder.path, folder.path / "good/latest", std::move(out)), std::runtime_error);
  EXPECT_THAT(out.str(), HasSubstr(model + "carry: a check of LibTorch"));
}

TEST(Guard, WhatTheMapThrowsIsNotTheSolversFault) {
  const FixedPointMap f([](const State&) -> State { throw std::out_of_range("of the map"); });
  for (const char* name : {"anderson", "torchdeq_broyden"}) {  // by proposals, and by a method that drives f itself
    const auto solver = test::make_solver(name);
    EXPECT_THROW(solve::solve(*solver, name, f, State(torch::ones({1, 2})), {}), std::out_of_range) << name;
  }
}

TEST(Guard, CreationNamesPluginAndPart) {
  try {
    same("one", {{"fail_in", std::string("create")}, {"how", std::string("own")}});
    FAIL() << "it was created";
  } catch (const plugins::PluginError& error) {
    EXPECT_EQ(error.code(), "Z171");
    EXPECT_THAT(error.what(), HasSubstr("fixture.one could not create solver \"same\": an error of the plugin's own"));
  }
}

TEST(Guard, CostsNothingToSpeakOf) {
  const auto solver = same("one");
  const std::string who = "solver 'same'";
  const auto seconds = [](const auto& body) {
    double best = 1;
    for (int round = 0; round < 5; ++round) {
      const auto start = std::chrono::steady_clock::now();
      for (int i = 0; i < 100000; ++i) body();
      best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    return best / 1e5;
  };
  const double bare = seconds([&] { solver->begin(1, 1); });
  const double under = seconds([&] { guarded([&] { return call_text(*solver, who, "begin"); }, [&] { solver->begin(1, 1); }); });
  EXPECT_LT(under - bare, 100e-9);  // 2 ns where nothing else runs; the smallest tensor operation takes 600 ns
}

TEST(Model, LivesInTheHostsTree) {  // M29
  struct Host : torch::nn::Module {};
  const auto make = [] { return std::shared_ptr<Model>(fixtures().create<Model>(Kind::model, "fixture.one:tree", {}, test::host())); };
  auto tree = std::make_shared<Host>();
  const auto model = make();
  tree->register_module("model", std::static_pointer_cast<torch::nn::Module>(model));
  EXPECT_TRUE(tree->named_parameters().contains("model.inner.weight"));
  EXPECT_TRUE(tree->named_buffers().contains("model.count"));
  EXPECT_THAT(model->name(), HasSubstr("Tree"));

  tree->to(torch::kFloat64);
  EXPECT_EQ(tree->named_parameters()["model.inner.weight"].scalar_type(), torch::kFloat64);
  model->forward({})[0].sum().backward();
  EXPECT_EQ(tree->named_parameters()["model.inner.weight"].grad().sum().item<double>(), 6);  // two rows of three ones

  std::stringstream stream;
  torch::serialize::OutputArchive out;
  tree->save(out);
  out.save_to(stream);
  auto other = std::make_shared<Host>();
  other->register_module("model", std::static_pointer_cast<torch::nn::Module>(make()));
  other->to(torch::kFloat64);
  torch::serialize::InputArchive in;
  in.load_from(stream);
  other->load(in);
  EXPECT_TRUE(other->named_parameters()["model.inner.bias"].equal(tree->named_parameters()["model.inner.bias"]));
}

TEST(Ops, SecondOwnerOfANamespaceIsRefused) {  // M10: an exception, where registration while loading aborts the process
  const auto first = same("one", {{"operators", std::string("demo.ops")}});
  try {
    same("two", {{"operators", std::string("demo.ops")}});
    FAIL() << "both own it";
  } catch (const plugins::PluginError& error) {
    EXPECT_EQ(error.code(), "Z171");
    EXPECT_THAT(error.what(), HasSubstr("demo_ops"));
  }
  EXPECT_NE(same("two", {{"operators", std::string("demo.other-ops")}}), nullptr);
}

}  // namespace
