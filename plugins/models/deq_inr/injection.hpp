#pragma once
/// \file Injections of coordinates, and what each form does with them. Equations: README.md.

#include <zstar/sdk.hpp>

namespace zstar_inr {
namespace {

using torch::Tensor;

enum class Form { siren_like, fourier, gabor };
inline Form form_of(const std::string& name) { return name == "siren_like" ? Form::siren_like : name == "fourier" ? Form::fourier : Form::gabor; }

/// Whether the injection multiplies; it is added inside of a sine otherwise.
inline bool multiplies(Form form) { return form != Form::siren_like; }

struct InjectionOptions {
  Form form = Form::siren_like;
  std::int64_t coordinates = 2, width = 256, layers = 1;
  double scale = 256, alpha = 3;
  bool free_window = false;  ///< γ as it stands, negative too
};

/// x ↦ (u_0 … u_L), one linear map cut into L + 1 pieces of D channels.
///
/// \par Parameters  x_map.weight [D (L+1), d], x_map.bias; of gabor mu [D (L+1), d] and gamma [D (L+1)], the centres and widths of
///   its windows
class Injection final : public torch::nn::Module {
 public:
  explicit Injection(const InjectionOptions& o) : o_(o) {
    const std::int64_t channels = o.width * (o.layers + 1);
    x_map_ = register_module("x_map", std::make_shared<zstar::nn::Linear>(o.coordinates, channels, nullptr));
    if (o.form == Form::gabor) {
      mu_ = register_parameter("mu", torch::empty({channels, o.coordinates}).uniform_(-1, 1));
      gamma_ = register_parameter("gamma", torch::_standard_gamma(torch::full({channels}, o.alpha)));
    }
    initialise();
  }

  /// \param x  coordinates, [N, d] \return L + 1 tensors [N, D]
  std::vector<Tensor> forward(const Tensor& x) {
    Tensor u = x_map_->forward(x);
    if (multiplies(o_.form)) u = torch::sin(u);
    if (o_.form == Form::gabor) u = u * window(x);
    return u.split(o_.width, 1);
  }

 private:
  /// U(±1/√d) times scale/√(L+1), of gabor times √γ_j; phases U(−π, π).
  void initialise() {
    const torch::NoGradGuard no_grad;
    Tensor weight = x_map_->weight() * (o_.scale / std::sqrt(static_cast<double>(o_.layers + 1)));
    if (gamma_.defined()) weight = weight * gamma_.sqrt().unsqueeze(1);
    x_map_->assign(weight);
    Tensor(x_map_->bias()).uniform_(-M_PI, M_PI);
  }

  /// exp(−½ γ_j ‖x − μ_j‖²), [N, D (L+1)]. The expanded square is rounded below zero near μ_j, hence its clamp.
  Tensor window(const Tensor& x) const {
    const Tensor norms = x.square().sum(1, /*keepdim=*/true) + mu_.square().sum(1);
    const Tensor squares = torch::addmm(norms, x, mu_.t(), /*beta=*/1, /*alpha=*/-2).clamp_min(0);
    const Tensor gamma = o_.free_window ? gamma_ : torch::relu(gamma_);
    return torch::exp(squares * (-0.5 * gamma));
  }

  InjectionOptions o_;
  std::shared_ptr<zstar::nn::Linear> x_map_;
  Tensor mu_, gamma_;
};

}  // namespace
}  // namespace zstar_inr
