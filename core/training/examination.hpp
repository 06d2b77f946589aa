#pragma once
/// \file Examination: what the doctor asks of a model, one function a question.

#include <initializer_list>

#include "core/solve/packing.hpp"
#include "core/training/doctor.hpp"
#include "core/training/probe_run.hpp"

namespace zstar::training {

/// One whole pass of a model, and questions about the equilibrium that was solved last in it. \pre the model called the layer
class Examination {
 public:
  /// \param solvers  names of the forward solver and of those that it is made of, which no remedy recommends
  Examination(Session& session, Prober& prober, std::vector<std::string> solvers);

  Finding deterministic();   ///< does f give one value for one state?
  Finding finite();          ///< is f(z) finite on the way?
  Finding independent();     ///< do samples depend on one another where the map says no?
  Finding identity();        ///< does f move states at all?
  Finding precision();       ///< can the dtype reach the tolerance?
  Finding solved();          ///< does the solver get there; if not: ended too early, the wrong solver, divergence, drift, or no contraction?
  Finding start();           ///< is the first iterate the solution?
  Finding conditioning();    ///< how near to singular is I − J?
  Finding unique();          ///< do other starts lead elsewhere?
  Finding input();           ///< does z⋆ move with the input?
  Finding reached();         ///< does a gradient pass through the equilibrium?
  Finding gradient();        ///< how wrong may it be?
  Finding evaluation();      ///< is the model solved in evaluation as it is in training?

  ReasonCounts reasons() const;
  std::vector<ResidualRow> residuals() const;
  std::vector<BudgetRow> budgets();
  /// Certificates of three other methods that run on this model.
  std::vector<MethodRow> others(plugins::Catalogue& catalogue);
  const ProbeRun& pass() const { return pass_; }
  const solve::Packing& packing() const { return packing_; }

 private:
  const Solved& call() const { return pass_.solves.back(); }
  const FixedPointMap& map() const { return call().map; }
  const solve::Options& options() const { return session_.layer().parts().forward.options; }
  Tensor image(const Tensor& z) const;
  /// Why samples are not solved: by going on for long, and by watching plain iteration.
  Finding unsolved(const std::string& number);
  Finding ended_early(const std::string& number, std::int64_t more);
  Finding unsolvable(const std::string& number, std::int64_t budget);
  double largest_adjoint() const;
  std::optional<Finding> adjoint_failed(const std::string& number) const;
  /// "ADVICE (SOLVERS), " without those in use; empty if none is left.
  std::string advised(const char* advice, std::initializer_list<const char*> solvers) const;
  /// The experiment's options, but nothing ends a sample early. \param budget  evaluations
  solve::Options patient(std::int64_t budget) const;
  /// The experiment's solver from z, with more patience. \param budget  evaluations
  solve::Outcome longer(const Tensor& z, std::int64_t budget) const;

  Session& session_;
  Prober& prober_;
  std::vector<std::string> in_use_;
  ProbeRun pass_;
  solve::Packing packing_;
  Tensor z_;  // z⋆, [B, D]
  double smallest_ = 0.1;  // σ_min(I − J), a guess until conditioning() has found it
};

}  // namespace zstar::training
