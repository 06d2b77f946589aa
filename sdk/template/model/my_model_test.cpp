#include <gtest/gtest.h>

#include <zstar/testing/maps.hpp>
#include <zstar/testing/matchers.hpp>
#include <zstar/testing/parts.hpp>

namespace {

using namespace zstar::testing;

class MyModel : public ::testing::Test {
 protected:
  zstar::Batch batch{{{"images", randn({5, 1, 2, 3}, 1).to(torch::kFloat32)}, {"labels", torch::tensor({0, 1, 2, 0, 1})}}, {}};
  std::shared_ptr<zstar::Model> model =
      make_model("my_model", "hidden = 8", make_layer("name = 'anderson'\ntolerance = 1e-6", "name = 'implicit'", "name = 'fixed_point'\ntolerance = 1e-6"),
                 {{{"channels", 1}, {"height", 2}, {"width", 3}, {"classes", 3}}});
};

TEST_F(MyModel, GivesEveryPictureAScoreForEachClass) {
  const auto outputs = model->forward(batch);

  ASSERT_EQ(outputs.size(), 1u);
  EXPECT_EQ(outputs[0].sizes().vec(), (std::vector<std::int64_t>{5, 3}));
}

TEST_F(MyModel, SendsAGradientToEveryParameter) {
  model->loss(model->forward(batch)[0], batch).backward();

  for (const auto& p : model->named_parameters()) EXPECT_GT(p.value().grad().abs().sum().item<double>(), 0) << p.key();
}

TEST_F(MyModel, CountsWhatIsRight) {
  const auto output = torch::eye(3).index_select(0, torch::tensor({0, 1, 1, 0, 1}));  // the third one is wrong

  EXPECT_DOUBLE_EQ(model->summarise(model->measure(output, batch))[0].value, 0.8);
}

}  // namespace
