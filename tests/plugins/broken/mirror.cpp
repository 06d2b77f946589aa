/// \file Compiled into two libraries with other values of FIXTURE_ID and FIXTURE_FACTOR: one class name, two classes.
#include <clocale>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <stdexcept>

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/modules/linear.h>
#include <zstar/carried.hpp>
#include <zstar/operators.hpp>
#include <zstar/predict.hpp>
#include <zstar/sdk.hpp>
#include <zstar/weight_names.hpp>

#include "mirror.hpp"

namespace {

using torch::Tensor;

/// Tells the file that FIXTURE_LOG names when objects and library end.
void log(const char* what) {
  if (const char* file = std::getenv("FIXTURE_LOG")) std::ofstream(file, std::ios::app) << what << '\n';
}
struct Library {
  ~Library() { log("library"); }
};
const Library library;

class Scale : public torch::autograd::Function<Scale> {
 public:
  static Tensor forward(torch::autograd::AutogradContext*, const Tensor& x) { return FIXTURE_FACTOR * x; }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*, const torch::autograd::variable_list& g) {
    return {FIXTURE_FACTOR * g[0]};
  }
};

struct OwnError : std::exception {
  const char* what() const noexcept override { return "an error of the plugin's own"; }
};

[[noreturn]] void throw_it(const std::string& how) {
  if (how == "check") TORCH_CHECK(false, "a check of LibTorch");
  if (how == "value") C10_THROW_ERROR(ValueError, "a value error of LibTorch");
  if (how == "range") throw std::out_of_range("an index out of range");
  if (how == "own") throw OwnError();
  throw 7;
}

class Same final : public zstar::Solver, public fixture::Mirror {
 public:
  struct Options {
    std::string operators, fail_in, how = "check";
    bool meddle = false, meddle_at_once = false;
    std::int64_t number = 1;
    double real = 0.5;
    std::optional<std::int64_t> unset;
  };
  static auto options() {
    using O = Options;
    return std::tuple{zstar::opt("operators", &O::operators, "id whose namespace of operators is claimed"),
                      zstar::opt("fail_in", &O::fail_in, "call that throws"), zstar::opt("how", &O::how, "what it throws"),
                      zstar::opt("meddle", &O::meddle, "proposing changes the state of the process"),
                      zstar::opt("meddle_at_once", &O::meddle_at_once, "so does creation"), zstar::opt("number", &O::number, "an integer"),
                      zstar::opt("real", &O::real, "a number"), zstar::opt("unset", &O::unset, "optional")};
  }
  Same(const Options& o, zstar::Host&) : o_(o) {
    maybe_fail("create");
    if (!o.operators.empty()) operators_ = std::make_unique<zstar::Operators>(o.operators);
    if (o.meddle_at_once) meddle();
  }
  ~Same() override { log("object"); }

  void* query(std::string_view id) override { return id == Mirror::id ? static_cast<fixture::Mirror*>(this) : nullptr; }
  void begin(std::int64_t, std::int64_t) override { maybe_fail("begin"); }
  void keep(const Tensor&) override { maybe_fail("keep"); }
  Tensor propose(const Tensor& z, const Tensor& fz) override {
    maybe_fail("propose");
    if (o_.meddle) meddle();
    return o_.real * z + (1 - o_.real) * fz + static_cast<double>(o_.number - 1);
  }

  int factor() override { return FIXTURE_FACTOR; }
  Tensor scaled(const Tensor& x) override { return Scale::apply(x); }
  bool is_own_class(zstar::Object& object) override { return dynamic_cast<Same*>(&object) != nullptr; }
  void fail(const std::string& how) override { throw_it(how); }
  Tensor random(std::int64_t n) override { return torch::randn({n}); }
  bool records_gradients() override { return torch::GradMode::is_enabled(); }
  bool autocasts() override { return at::autocast::is_cpu_enabled(); }
  int threads() override { return at::get_num_threads(); }
  std::function<int()> function() override {
    return [n = FIXTURE_FACTOR] { return n; };
  }
  std::shared_ptr<int> pointer() override {
    return {new int(FIXTURE_FACTOR), [](int* p) { delete p; }};
  }
  std::exception_ptr exception() override { return std::make_exception_ptr(OwnError()); }
  const char* literal() override { return "a literal of " FIXTURE_ID; }
  Tensor blob() override {
    auto* numbers = new float[4]{1, 2, 3, FIXTURE_FACTOR};
    return torch::from_blob(numbers, {4}, [](void* p) { delete[] static_cast<float*>(p); });
  }

 private:
  void maybe_fail(const char* call) const {
    if (o_.fail_in == call) throw_it(o_.how);
  }
  static void meddle() {
    at::set_num_threads(at::get_num_threads() + 1);
    std::setlocale(LC_ALL, "C.UTF-8");
    torch::GradMode::set_enabled(!torch::GradMode::is_enabled());
    torch::set_default_dtype(caffe2::TypeMeta::Make<double>());
  }

  const Options o_;
  std::unique_ptr<zstar::Operators> operators_;
};

/// A model of one linear map that needs no equilibrium.
class Tree final : public zstar::Model, public zstar::Carries, public zstar::RenamesWeights, public zstar::Predicts {
 public:
  struct Options {
    std::string fail_in, how = "check";
  };
  static auto options() {
    return std::tuple{zstar::opt("fail_in", &Options::fail_in, "call that throws"), zstar::opt("how", &Options::how, "what it throws")};
  }
  Tree(const Options& o, zstar::Host&) : o_(o), inner_(register_module("inner", torch::nn::Linear(3, 2))) {
    register_buffer("count", torch::zeros({1}));
  }
  ~Tree() override { log("object"); }

  void* query(std::string_view id) override {
    if (id == Carries::id) return static_cast<Carries*>(this);
    if (id == RenamesWeights::id) return static_cast<RenamesWeights*>(this);
    return id == Predicts::id ? static_cast<Predicts*>(this) : nullptr;
  }
  void begin_pass(zstar::Phase) override { maybe_fail("begin_pass"); }
  std::vector<std::pair<std::string, Tensor>> carried() const override { return maybe_fail("carried"), std::vector<std::pair<std::string, Tensor>>{}; }
  void carry(const std::vector<std::pair<std::string, Tensor>>&) override { maybe_fail("carry"); }
  std::string own_name(const std::string& name) const override { return maybe_fail("own_name"), name; }
  Tensor predict(const zstar::Batch&) override { return maybe_fail("predict"), torch::ones({2, 1}); }
  std::vector<std::string> values() const override { return maybe_fail("values"), std::vector<std::string>{}; }
  std::vector<Tensor> forward(const zstar::Batch&) override {
    maybe_fail("forward");
    return {inner_->forward(torch::ones({1, 3}, inner_->weight.options()))};
  }
  Tensor loss(const Tensor& output, const zstar::Batch&) override {
    maybe_fail("loss");
    return output.square().mean();
  }
  zstar::Sums measure(const Tensor&, const zstar::Batch&) override { return {}; }
  std::vector<zstar::Metric> summarise(const zstar::Sums&) const override { return {}; }

 private:
  void maybe_fail(const char* call) const {
    if (o_.fail_in == call) throw_it(o_.how);
  }
  const Options o_;
  torch::nn::Linear inner_;
};

/// Fail in one call.
class Penalty final : public zstar::Regularizer, public zstar::Statistics {
 public:
  struct Options {
    std::string fail_in = "penalty";
  };
  static auto options() { return std::tuple{zstar::opt("fail_in", &Options::fail_in, "call that throws")}; }
  Penalty(const Options& o, zstar::Host&) : o_(o) {}
  void* query(std::string_view id) override { return id == Statistics::id ? static_cast<Statistics*>(this) : nullptr; }
  Tensor penalty(const zstar::Solved&, const at::Generator&) override {
    if (o_.fail_in == "penalty") throw_it("value");
    return torch::zeros({});
  }
  std::vector<std::pair<std::string, Tensor>> statistics() override { throw_it("value"); }

 private:
  const Options o_;
};
class Attach final : public zstar::GradientMethod, public zstar::Statistics {
 public:
  explicit Attach(zstar::Host&) {}
  void* query(std::string_view id) override { return id == Statistics::id ? static_cast<Statistics*>(this) : nullptr; }
  std::vector<zstar::State> attach(const zstar::FixedPointMap&, const zstar::State&, std::int64_t, std::int64_t, zstar::GradientServices&) override { throw_it("range"); }
  std::vector<std::pair<std::string, Tensor>> statistics() override { throw_it("range"); }
};
class Data final : public zstar::Dataset {
 public:
  struct Options {
    std::string fail_in = "load";
  };
  static auto options() { return std::tuple{zstar::opt("fail_in", &Options::fail_in, "call that throws")}; }
  Data(const Options& o, zstar::Host&) : o_(o) {}
  zstar::Description describe() const override { return {}; }
  std::int64_t size(zstar::Split) const override { return maybe_fail("size"), 2; }
  std::vector<std::vector<std::int64_t>> batches(zstar::Split, std::int64_t, std::uint64_t) const override { return maybe_fail("batches"), std::vector<std::vector<std::int64_t>>{{0, 1}}; }
  zstar::Batch load(zstar::Split, const std::vector<std::int64_t>&, std::uint64_t) const override { return maybe_fail("load"), zstar::Batch(); }

 private:
  void maybe_fail(const char* call) const {
    if (o_.fail_in == call) throw_it("integer");
  }
  const Options o_;
};

}  // namespace

ZSTAR_PLUGIN(FIXTURE_ID, "0.1.0", "seen from inside")
ZSTAR_SOLVER(Same, "same", "damped iteration that shows what it sees")
ZSTAR_MODEL(Tree, "tree", "one linear map")
ZSTAR_REGULARIZER(Penalty, "failing_penalty", "fails in one call")
ZSTAR_GRADIENT(Attach, "failing_attach", "always fails")
ZSTAR_DATASET(Data, "failing_data", "fails in one call")
