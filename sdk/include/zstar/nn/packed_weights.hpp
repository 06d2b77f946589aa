#pragma once
/// \file What convolutions make of their weights for the processor's library, kept from one evaluation of a map to the next.

#include <any>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/grad_mode.h>

#include "zstar/abi/state.hpp"

namespace zstar::nn {

/// Weights of one solve in layouts of the processor's library. A library that is handed a plain weight reorders it at every call, which for large
/// weights and small images takes two thirds of the time of the convolution. For one thread at a time.
class PackedWeights {
 public:
  /// While it lives, convolutions of this thread keep their weights in `packed`: in evaluations without a graph. One with a graph has other uses for
  /// the memory, and what was kept is let go; what an evaluation does not come across is let go at its end. Nests: the former ones come back.
  class Use {
   public:
    explicit Use(PackedWeights& packed) : packed_(packed), before_(std::exchange(current(), at::GradMode::is_enabled() ? nullptr : &packed)) {
      if (at::GradMode::is_enabled()) packed.kept_.clear();
      ++packed.evaluation_;
    }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    ~Use() {
      current() = before_;
      std::erase_if(packed_.kept_, [this](const Kept& k) { return k.seen != packed_.evaluation_; });
    }

   private:
    PackedWeights& packed_;
    PackedWeights* before_;
  };

  /// In this layout; make() makes it at the first call, and again once the weight was written to (through a tensor that counts its versions).
  /// \param layout  with ==, of the weight as it lies as well as of the result
  template <class Layout, class Make>
  Tensor of(const Tensor& weight, const Layout& layout, const Make& make) {
    if (weight.is_inference()) return make();  // nothing tells when it is written to
    const auto version = static_cast<std::int64_t>(weight._version());
    for (Kept& k : kept_) {
      const auto* known = std::any_cast<Layout>(&k.layout);
      if (known == nullptr || k.weight.data_ptr() != weight.data_ptr() || !(*known == layout)) continue;
      if (k.version != version) k.packed = make(), k.version = version;
      k.seen = evaluation_;
      return k.packed;
    }
    kept_.push_back({weight.detach(), version, evaluation_, layout, make()});
    return kept_.back().packed;
  }

  /// Those that convolutions of this thread use; null: they keep nothing.
  static PackedWeights*& current() {
    static thread_local PackedWeights* now = nullptr;
    return now;
  }

 private:
  struct Kept {
    Tensor weight;  ///< alive, so that nothing else comes to lie where it is
    std::int64_t version, seen;
    std::any layout;
    Tensor packed;
  };
  std::vector<Kept> kept_;
  std::int64_t evaluation_ = 0;
};

}  // namespace zstar::nn
