#include "cohorts.hpp"

namespace zstar_compose {

std::unique_ptr<zstar::Solver> inner_solver(zstar::Host& host, const zstar::Part& part, const char* option) {
  if (part.name.empty())
    throw zstar::OptionError(option, std::string("'") + option + "' names no solver; write " + option + " = { name = \"anderson\" }");
  auto solver = host.solver(part);
  if (zstar::query<zstar::Driver>(*solver) != nullptr)
    throw zstar::OptionError(option, "solver '" + part.name + "' chooses its own evaluations, so that it cannot be part of another; use it by itself");
  return solver;
}

void Cohorts::begin(std::int64_t batch, std::int64_t width) {
  batch_ = batch, width_ = width;
  std::erase_if(cohorts_, [](const Cohort& cohort) { return cohort.kind != 0; });
  cohorts_.resize(std::min<std::size_t>(cohorts_.size(), 1));  // a copy is used again
  if (cohorts_.empty()) cohorts_.push_back({make_(0), {}, 0});
  Cohort& all = cohorts_[0];
  all.samples.resize(static_cast<std::size_t>(batch));
  for (std::int64_t b = 0; b < batch; ++b) all.samples[static_cast<std::size_t>(b)] = b;
  all.begun = false, all.searched = Tensor();
  all.solver->begin(batch, width);
  searches_.clear();
}

void Cohorts::leave(Cohort& cohort, const std::vector<char>& gone) {
  std::vector<std::int64_t> places, left;
  for (std::size_t i = 0; i < cohort.samples.size(); ++i)
    if (!gone[static_cast<std::size_t>(cohort.samples[i])]) places.push_back(static_cast<std::int64_t>(i)), left.push_back(cohort.samples[i]);
  if (left.size() == cohort.samples.size()) return;
  cohort.samples = std::move(left);
  if (!cohort.begun) cohort.solver->begin(static_cast<std::int64_t>(places.size()), width_);
  else if (!places.empty()) cohort.solver->keep(torch::tensor(places, torch::kInt64).to(device_));
}

void Cohorts::move(const std::vector<std::int64_t>& samples, std::size_t kind) {
  if (samples.empty()) return;
  std::vector<char> gone(static_cast<std::size_t>(batch_), 0);
  for (const std::int64_t b : samples) gone[static_cast<std::size_t>(b)] = 1;
  for (Cohort& cohort : cohorts_) leave(cohort, gone);
  std::erase_if(cohorts_, [](const Cohort& cohort) { return cohort.samples.empty(); });
  cohorts_.push_back({make_(kind), samples, kind});
  cohorts_.back().solver->begin(static_cast<std::int64_t>(samples.size()), width_);
}

void Cohorts::keep(const Tensor& rows) {
  const Tensor kept = rows.cpu().contiguous();
  std::vector<char> gone(static_cast<std::size_t>(batch_), 1);
  std::vector<std::int64_t> place(static_cast<std::size_t>(batch_), 0);
  batch_ = kept.size(0);
  for (std::int64_t i = 0; i < batch_; ++i) {
    const auto b = static_cast<std::size_t>(kept.data_ptr<std::int64_t>()[i]);
    gone[b] = 0, place[b] = i;
  }
  for (Cohort& cohort : cohorts_) leave(cohort, gone);
  std::erase_if(cohorts_, [](const Cohort& cohort) { return cohort.samples.empty(); });
  for (Cohort& cohort : cohorts_)
    for (std::int64_t& b : cohort.samples) b = place[static_cast<std::size_t>(b)];
}

Tensor Cohorts::proposed(Cohort& cohort, const Tensor& z, const Tensor& fz, std::vector<Tensor>& searched) {
  cohort.begun = true;
  const Tensor next = cohort.solver->propose(z, fz);
  auto* solver = cohort.searches ? zstar::query<zstar::Statistics>(*cohort.solver) : nullptr;
  cohort.searches = false;
  if (!solver) return next;
  for (const auto& [name, calls] : solver->statistics()) {
    if (name != zstar::LineSearchCalls::name) continue;
    searched.push_back((cohort.searched.defined() ? calls > cohort.searched : calls > 0).to(z.device()));
    cohort.searched = calls, cohort.searches = true;
  }
  return next;
}

Tensor Cohorts::propose(const Tensor& z, const Tensor& fz) {
  device_ = z.device();
  std::vector<Tensor> searched;
  Tensor next;
  if (cohorts_.size() == 1 && std::is_sorted(cohorts_[0].samples.begin(), cohorts_[0].samples.end())) {
    next = proposed(cohorts_[0], z, fz, searched);
  } else {
    next = torch::empty_like(z);
    for (Cohort& cohort : cohorts_) {
      const Tensor rows = torch::tensor(cohort.samples, torch::kInt64).to(z.device());
      next.index_copy_(0, rows, proposed(cohort, z.index_select(0, rows), fz.index_select(0, rows), searched));
    }
  }
  if (!searched.empty()) searches_.count(torch::stack(searched));
  return next;
}

Tensor Best::note(const Tensor& z, const Tensor& fz) {
  const Tensor size2 = zstar::length2(products_, fz - z);
  if (!z_.defined()) {
    z_ = z, fz_ = fz, size2_ = torch::full_like(size2, INFINITY);
    stopped_ = torch::zeros_like(size2, torch::kBool);
  } else {
    const Tensor elsewhere = ((sent_ != z) & (sent_ == sent_)).any(1);  // a NaN is no place
    stopped_ = stopped_ | ((stood_ == z).all(1) & elsewhere);
  }
  const Tensor better = size2 < size2_;
  z_ = zstar::pick(better, z, z_), fz_ = zstar::pick(better, fz, fz_), size2_ = torch::where(better, size2, size2_);
  return torch::where(stopped_, torch::zeros_like(size2), size2).cpu().contiguous();
}

Tensor Best::propose(Cohorts& cohorts, const std::vector<std::int64_t>& back, const Tensor& z, const Tensor& fz) {
  stood_ = z;
  return sent_ = proposed(cohorts, back, z, fz);
}

Tensor Best::proposed(Cohorts& cohorts, const std::vector<std::int64_t>& back, const Tensor& z, const Tensor& fz) const {
  if (back.empty()) return cohorts.propose(z, fz);
  Tensor mask = torch::zeros({z.size(0)}, torch::kBool);
  for (const std::int64_t b : back) mask.data_ptr<bool>()[b] = true;
  mask = mask.to(z.device());
  return cohorts.propose(zstar::pick(mask, z_, z), zstar::pick(mask, fz_, fz));
}

void Progress::keep(const Tensor& rows) {
  const Tensor kept = rows.cpu().contiguous();
  std::vector<Sample> left;
  for (std::int64_t i = 0; i < kept.size(0); ++i) left.push_back(samples_[static_cast<std::size_t>(kept.data_ptr<std::int64_t>()[i])]);
  samples_ = std::move(left);
}

Progress::Verdict Progress::judge(std::int64_t sample, double size2, double growth, std::int64_t patience) {
  Sample& s = samples_[static_cast<std::size_t>(sample)];
  if (size2 == 0) return Verdict::well;
  ++s.age;
  if (!std::isfinite(size2) || size2 > growth * growth * s.best) return Verdict::failed;
  s.best = std::min(s.best, size2);
  s.idle = size2 < 0.95 * 0.95 * s.mark ? 0 : s.idle + 1;
  if (s.idle == 0) s.mark = size2;
  return patience > 0 && s.idle >= patience ? Verdict::stalled : Verdict::well;
}

void Progress::renew(std::int64_t sample) {
  Sample& s = samples_[static_cast<std::size_t>(sample)];
  s.age = s.idle = 0;
}

}  // namespace zstar_compose
