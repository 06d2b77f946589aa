/// \file SUNDIALS' KINSOL as a solver. Methods and sources: README.md.
#include <algorithm>
#include <cmath>
#include <exception>
#include <memory>

#include <kinsol/kinsol.h>
#include <nvector/nvector_serial.h>
#include <sunlinsol/sunlinsol_spgmr.h>

#include <zstar/sdk.hpp>

namespace {

using torch::Tensor;

template <auto Free>
struct Release {
  template <class T>
  void operator()(T* p) const {
    Free(p);
  }
};
using Vector = std::unique_ptr<std::remove_pointer_t<N_Vector>, Release<N_VDestroy>>;
using LinearSolver = std::unique_ptr<std::remove_pointer_t<SUNLinearSolver>, Release<SUNLinSolFree>>;

/// The context of one solve.
class Context {
 public:
  Context() { SUNContext_Create(nullptr, &context_); }
  ~Context() { SUNContext_Free(&context_); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  operator SUNContext() const { return context_; }

 private:
  SUNContext context_ = nullptr;
};

/// One sample of the batch as KINSOL's system.
struct System {
  zstar::Evaluator& f;
  Tensor z;          // [B, D], of which row `sample` moves
  std::int64_t sample;
  bool residual;     // F(z) = f(z) − z instead of G(z) = f(z)
  bool done = false; // within the tolerance, or no evaluation is left
  std::exception_ptr error;

  int evaluate(N_Vector u, N_Vector out) {
    const auto options = torch::TensorOptions(torch::kFloat64);
    const std::int64_t width = z.size(1);
    const Tensor at = torch::from_blob(N_VGetArrayPointer(u), {width}, options);
    z = z.clone();  // f and the loop keep what they were given
    z[sample].copy_(at);
    const auto image = f.evaluate(z);
    if (!image) return stop();
    const Tensor fz = (*image)[sample].to(options), r = fz - z[sample].to(options);
    torch::from_blob(N_VGetArrayPointer(out), {width}, options).copy_(residual ? r : fz);
    const double absolute = r.norm().item<double>(), scale = f.limits().relative ? fz.norm().item<double>() : 1.0;
    return absolute <= f.limits().tolerance * scale ? stop() : 0;
  }

 private:
  int stop() {
    done = true;
    return -1;
  }
};

extern "C" int zstar_kinsol_evaluate(N_Vector u, N_Vector out, void* data) {
  auto& system = *static_cast<System*>(data);
  try {
    return system.evaluate(u, out);
  } catch (...) {  // not through C
    system.error = std::current_exception();
    return -1;
  }
}
extern "C" void zstar_kinsol_silent(int, const char*, const char*, char*, void*) {}

/// KINSOL on each sample in turn.
///
/// \par Cost per iteration  one evaluation of the whole batch for each of KINSOL's on one sample
class Kinsol final : public zstar::Solver, public zstar::Driver {
 public:
  struct Options {
    std::string method = "anderson";
    std::int64_t memory = 5;
    double beta = 1.0;
  };
  static auto options() {
    return std::tuple{zstar::choice("method", &Options::method, "which of KINSOL's methods", {"anderson", "picard", "newton_krylov"}),
                      zstar::opt("memory", &Options::memory, "m, differences kept by anderson, directions by newton_krylov", zstar::at_least(1)),
                      zstar::opt("beta", &Options::beta, "β, mixing of anderson and picard; 1 is undamped", zstar::within(1e-3, 1.0))};
  }
  Kinsol(const Options& o, zstar::Host&) : o_(o) {}

  void* query(std::string_view id) override { return id == zstar::Driver::id ? static_cast<zstar::Driver*>(this) : nullptr; }
  void begin(std::int64_t, std::int64_t) override {}
  void keep(const Tensor&) override {}
  Tensor propose(const Tensor&, const Tensor&) override { throw std::logic_error("kinsol chooses its own evaluations"); }

  Tensor drive(zstar::Evaluator& f, const Tensor& z0) override {
    if (!z0.is_cpu()) throw std::invalid_argument("solver 'kinsol' works on a CPU, the state is on " + z0.device().str() + "; use anderson");
    System system{f, z0, 0, o_.method == "newton_krylov", false, nullptr};
    for (std::int64_t b = 0; b < z0.size(0); ++b) {
      system.sample = b;
      system.done = false;
      solve(system);
      if (system.error) std::rethrow_exception(system.error);
    }
    return {};  // the best iterate of each sample, which the framework keeps
  }

 private:
  void solve(System& system) const {
    const Context context;
    const std::int64_t width = system.z.size(1);
    const Vector u(N_VNew_Serial(width, context)), scale(N_VNew_Serial(width, context));
    torch::from_blob(N_VGetArrayPointer(u.get()), {width}, torch::kFloat64).copy_(system.z[system.sample]);
    N_VConst(1.0, scale.get());
    void* memory = KINCreate(context);
    const std::shared_ptr<void> owner(memory, [](void* p) { KINFree(&p); });
    KINSetErrHandlerFn(memory, zstar_kinsol_silent, nullptr);
    KINSetUserData(memory, &system);
    KINSetNumMaxIters(memory, static_cast<long>(system.f.limits().max_evaluations));
    KINSetFuncNormTol(memory, 1e-300);  // the framework's tolerance decides
    KINSetScaledStepTol(memory, 1e-300);
    const bool newton = o_.method == "newton_krylov";
    if (!newton) {
      KINSetMAA(memory, o_.method == "anderson" ? std::min<long>(o_.memory, system.f.limits().max_evaluations) : 0);
      KINSetDampingAA(memory, o_.beta);
      KINSetDamping(memory, o_.beta);
    }
    if (KINInit(memory, zstar_kinsol_evaluate, u.get()) != KIN_SUCCESS) throw std::runtime_error("KINSOL refused the problem at KINInit");
    LinearSolver gmres;
    if (newton) {
      gmres.reset(SUNLinSol_SPGMR(u.get(), SUN_PREC_NONE, static_cast<int>(o_.memory), context));
      if (KINSetLinearSolver(memory, gmres.get(), nullptr) != KIN_SUCCESS) throw std::runtime_error("KINSOL refused its linear solver");
    }
    KINSol(memory, u.get(), newton ? KIN_LINESEARCH : KIN_FP, scale.get(), scale.get());
  }

  Options o_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.kinsol", "0.1.0", "the solvers of SUNDIALS' KINSOL")
ZSTAR_SOLVER(Kinsol, "kinsol", "KINSOL of SUNDIALS: Anderson, Picard or Newton-Krylov, one sample after the other")
