/// \file SUNDIALS' KINSOL as a solver. Methods and sources: README.md.
#include <algorithm>
#include <cmath>
#include <exception>
#include <memory>
#include <vector>

#include <kinsol/kinsol.h>
#include <nvector/nvector_serial.h>
#include <sunlinsol/sunlinsol_spgmr.h>

#include <zstar/claims.hpp>
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

/// The batch as KINSOL's system: all samples side by side.
struct System {
  zstar::Evaluator& f;
  torch::TensorOptions state;        // dtype of the iterates that f takes
  std::vector<std::int64_t> shape;   // [B, D]
  bool residual;                     // F(z) = f(z) − z instead of G(z) = f(z)
  std::exception_ptr error = nullptr;

  int evaluate(N_Vector u, N_Vector out) {
    const auto view = [this](N_Vector v) { return torch::from_blob(N_VGetArrayPointer(v), shape, torch::kFloat64); };
    const Tensor z = view(u).to(state, /*non_blocking=*/false, /*copy=*/true);  // f and the loop keep what they are given
    const auto image = f.evaluate(z);
    if (!image) return stop;
    const Tensor at = z.to(torch::kFloat64), fz = image->to(torch::kFloat64);
    const Tensor finite = fz.isfinite().all(1, /*keepdim=*/true);
    const Tensor r = torch::where(finite, fz - at, torch::zeros_like(at));  // a sample that is lost stays where it is
    view(out).copy_(residual ? r : at + r);
    const Tensor scale = f.limits().relative ? fz.norm(2, {1}) : torch::ones({shape[0]}, torch::kFloat64);
    return (r.norm(2, {1}) <= f.limits().tolerance * scale).logical_or(finite.squeeze(1).logical_not()).all().item<bool>() ? stop : 0;
  }

  static constexpr int stop = -1;  // KINSOL gives up at once
};

extern "C" int zstar_kinsol_evaluate(N_Vector u, N_Vector out, void* data) {
  auto& system = *static_cast<System*>(data);
  try {
    return system.evaluate(u, out);
  } catch (...) {  // not through C
    system.error = std::current_exception();
    return System::stop;
  }
}
extern "C" void zstar_kinsol_silent(int, const char*, const char*, char*, void*) {}

/// KINSOL on the batch as one system.
///
/// \par Cost per iteration  one evaluation; two copies of the batch
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

  void* query(std::string_view id) override {
    if (id == zstar::Driver::id) return static_cast<zstar::Driver*>(this);
    return id == zstar::Exemptions::id ? &exemptions_ : nullptr;
  }
  void begin(std::int64_t, std::int64_t) override {}
  void keep(const Tensor&) override {}
  Tensor propose(const Tensor&, const Tensor&) override { throw std::logic_error("kinsol chooses its own evaluations"); }

  Tensor drive(zstar::Evaluator& f, const Tensor& z0) override {
    if (!z0.is_cpu()) throw std::invalid_argument("solver 'kinsol' works on a CPU, the state is on " + z0.device().str() + "; use anderson");
    System system{f, z0.options(), z0.sizes().vec(), o_.method == "newton_krylov"};
    solve(system, z0);
    if (system.error) std::rethrow_exception(system.error);
    return {};  // the best iterate of each sample, which the framework keeps
  }

 private:
  void solve(System& system, const Tensor& z0) const {
    const Context context;
    const Vector u(N_VNew_Serial(z0.numel(), context)), scale(N_VNew_Serial(z0.numel(), context));
    torch::from_blob(N_VGetArrayPointer(u.get()), system.shape, torch::kFloat64).copy_(z0);
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
      SUNLinSol_SPGMRSetMaxRestarts(gmres.get(), 10);
      KINSetMaxNewtonStep(memory, 1e20);  // its own limit is as long as the start, which may be zero
      if (KINSetLinearSolver(memory, gmres.get(), nullptr) != KIN_SUCCESS) throw std::runtime_error("KINSOL refused its linear solver");
    }
    KINSol(memory, u.get(), newton ? KIN_LINESEARCH : KIN_FP, scale.get(), scale.get());
  }

  Options o_;
  zstar::Exemptions exemptions_{{{"alone", "the batch is one system of KINSOL's, whose samples share their steps"},
                                 {"samples", "newer iterates of KINSOL's are not those of the loop"}}};
};

}  // namespace

ZSTAR_PLUGIN("zstar.kinsol", "0.1.0", "the solvers of SUNDIALS' KINSOL")
ZSTAR_SOLVER(Kinsol, "kinsol", "KINSOL of SUNDIALS: Anderson, Picard or Newton-Krylov, the batch as one system")
