/// \file What solves and losses of the language models are, beside those of the published programs.
#include "built.hpp"

namespace {

TEST(DeqTransformer, Z6LossesStandInTheOrderOfTheSequenceWhateverTheirClusters) {
  const torch::NoGradGuard no_grad;
  Built b("deq_lm", adaptive);
  b.model->eval();
  const Tensor tokens = text(1, 5), targets = torch::tensor({{19, 3, 13, 0, 8}}, torch::kInt64), p = from_losses(b, tokens);
  b.model->begin_pass(Phase::evaluation);
  const Tensor losses = b.model->forward({{{"tokens", tokens}, {"targets", targets}}, {}}).back();
  EXPECT_LT((losses + p.gather(2, targets.unsqueeze(2)).squeeze(2).log()).abs().max().item<double>(), 1e-12);
}

/// Scores are masked in their own precision: a solve in double precision goes far below the 1e-9 at which single precision ends it.
TEST(DeqTransformer, Z11AttentionKeepsThePrecisionOfTheState) {
  const torch::NoGradGuard no_grad;
  Built b("deq_seq", {{"window", std::int64_t{3}}}, /*norm=*/false, /*evaluations=*/300);
  calm(b);
  b.model->eval();
  b.model->forward(batch(text(2, 8)));
  for (const double r : b.solves.back().equilibrium.forward[0].relative) EXPECT_LT(r, 1e-12);
}

TEST(DeqTransformer, Z13TheReportIsOfTheSolveAndOfTheStateThatItReturned) {
  const torch::NoGradGuard no_grad;
  Built b("deq_lm", {}, true, /*evaluations=*/5);
  b.model->eval();
  b.model->forward(batch(text(2, 6)));
  const Solved& s = b.solves.back();
  EXPECT_EQ(s.equilibrium.forward[0].calls, 5);  // as many as it may, and none for the report
  const Tensor residual = (s.map(s.equilibrium.fixed_point)[0] - s.equilibrium.fixed_point[0]).flatten(1).norm(2, 1);
  for (std::size_t i : {0, 1}) EXPECT_NEAR(s.equilibrium.forward[0].residual[i], residual[static_cast<std::int64_t>(i)].item<double>(), 1e-12);
}

TEST(DeqTransformer, Z17RunsOnACpuInEitherPrecisionAndChangesNoDefault) {
  const torch::NoGradGuard no_grad;
  const auto before = torch::get_default_dtype();
  for (const char* name : {"deq_lm", "deq_seq"}) {
    Built b(name, adaptive);
    b.model->eval();
    const auto loss = [&](torch::ScalarType dtype) {
      b.model->to(dtype);
      b.model->begin_pass(Phase::evaluation);
      const Tensor nll = b.model->forward(batch(text(2, 6))).back();
      EXPECT_TRUE(nll.is_cpu() && nll.scalar_type() == dtype);
      return nll.mean().item<double>();
    };
    const double exact = loss(torch::kFloat64);
    EXPECT_NEAR(loss(torch::kFloat32), exact, 1e-4) << name;  // six evaluations in single precision
  }
  EXPECT_EQ(torch::get_default_dtype(), before);
}

TEST(DeqTransformer, PretrainingUnrollsTheFirstBatches) {
  Built b("deq_seq", {{"pretrain_steps", std::int64_t{2}}, {"pretrain_evaluations", std::int64_t{3}}});
  b.model->eval();
  b.model->forward(batch(text(2, 5)));
  EXPECT_EQ(b.solves.size(), 1u) << "evaluation always solves";
  b.model->train();
  for (int k = 0; k < 2; ++k) {
    const Batch data = batch(text(2, 5, k));
    const auto losses = b.model->forward(data);
    ASSERT_EQ(losses.size(), 1u);
    b.model->loss(losses[0], data).backward();
  }
  EXPECT_EQ(b.solves.size(), 1u);
  for (const auto& p : b.model->named_parameters()) EXPECT_TRUE(p.value().grad().defined()) << p.key();
  EXPECT_EQ(zstar::query<Carries>(*b.model)->carried().size(), 2u) << "the memory goes on";
  b.model->forward(batch(text(2, 5)));
  EXPECT_EQ(b.solves.size(), 2u);
  EXPECT_EQ(b.model->named_buffers()["pretrained_batches"].item<std::int64_t>(), 2);
}

}  // namespace
