// What a plugin says of Winograd's algorithm and of packed weights holds where LibTorch's oneDNN is not at hand, too: all is LibTorch's.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <zstar/nn/packed.hpp>
#include <zstar/nn/winograd.hpp>

namespace {

TEST(WithoutOneDnn, ConvolutionsAreLibTorchs) {
#ifdef ZSTAR_ONEDNN
  FAIL() << "this test is to be built without";
#endif
  const torch::NoGradGuard no_grad;
  zstar::nn::PackedWeights packed;
  const zstar::nn::PackedWeights::Use use(packed);
  const torch::Tensor x = torch::randn({2, 64, 20, 24}).contiguous(at::MemoryFormat::ChannelsLast), w = torch::randn({64, 64, 3, 3});
  EXPECT_TRUE(torch::equal(zstar::nn::conv2d(x, w, {}, 1, 1), torch::conv2d(x, w, torch::Tensor(), 1, at::IntArrayRef{1, 1})));
}

}  // namespace
