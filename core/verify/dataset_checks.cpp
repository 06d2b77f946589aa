/// \file Checks of data sets.
#include <set>

#include "core/training/splits.hpp"
#include "core/verify/dataset_subject.hpp"
#include "zstar/guard.hpp"

namespace zstar::verify {
namespace {

using training::name_of;
using training::splits;

bool same(const Batch& a, const Batch& b) {
  if (a.ids != b.ids || a.tensors.size() != b.tensors.size()) return false;
  for (std::size_t i = 0; i < a.tensors.size(); ++i)
    if (a.tensors[i].first != b.tensors[i].first || !a.tensors[i].second.equal(b.tensors[i].second)) return false;
  return true;
}

void describes(DatasetSubject& s, Scope& scope) {
  const auto data = s.make<Dataset>();
  const auto sizes = data->describe().sizes;
  scope.expect(!sizes.empty(), "it says nothing of itself");
  for (const auto& [name, n] : sizes) scope.expect(n > 0, "'" + name + "' is " + std::to_string(n));
  scope.note("samples", static_cast<double>(data->size(Split::train)));
  scope.expect(data->size(Split::train) > 0, "there is nothing to train on");
}

void order(DatasetSubject& s, Scope& scope) {
  const auto data = s.make<Dataset>(), other = s.make<Dataset>();
  for (const Split split : splits)
    for (const std::int64_t batch_size : {std::int64_t{1}, std::int64_t{3}, data->size(split) + 1}) {
      if (batch_size == 1 && data->size(split) > 5000) continue;  // one sample a batch tells nothing more there
      torch::manual_seed(1);
      const auto first = data->batches(split, batch_size, 7);
      data->batches(split, batch_size, 8);
      torch::manual_seed(2);
      const std::string where = std::string(name_of(split)) + ", batches of " + std::to_string(batch_size);
      scope.expect(data->batches(split, batch_size, 7) == first, where + ": one seed gives two orders");
      scope.expect(other->batches(split, batch_size, 7) == first, where + ": two objects give two orders for one seed");
      std::set<std::int64_t> seen;
      for (const auto& batch : first)
        for (const std::int64_t i : batch) {
          scope.expect(i >= 0 && i < std::max<std::int64_t>(data->size(split), 1), where + ": index " + std::to_string(i) + " is no sample of " + std::to_string(data->size(split)));
          scope.expect(seen.insert(i).second, where + ": sample " + std::to_string(i) + " comes twice in a pass");
        }
      for (const auto& batch : first) scope.expect(!batch.empty() && static_cast<std::int64_t>(batch.size()) <= batch_size, where + ": a batch has " + std::to_string(batch.size()) + " samples");
    }
}

void loads(DatasetSubject& s, Scope& scope) {
  const auto data = s.make<Dataset>(), other = s.make<Dataset>();
  for (const Split split : splits) {
    if (data->size(split) == 0) continue;
    const auto batches = data->batches(split, 2, 7);
    scope.expect(!batches.empty(), std::string(name_of(split)) + " has samples and no batch");
    torch::manual_seed(1);
    const Batch first = data->load(split, batches.front(), 11);
    torch::manual_seed(2);
    data->load(split, batches.back(), 12);
    const std::string where = name_of(split);
    scope.expect(same(data->load(split, batches.front(), 11), first), where + ": a batch loaded twice with one seed differs");
    scope.expect(same(other->load(split, batches.front(), 11), first), where + ": two objects load two batches for one seed");
    scope.expect(!first.tensors.empty(), where + ": a batch has no tensor");
    std::set<std::string> names;
    for (const auto& [name, tensor] : first.tensors) {
      scope.expect(names.insert(name).second, where + ": two tensors are named '" + name + "'");
      scope.expect(tensor.defined() && tensor.is_cpu(), where + ": tensor '" + name + "' is not on the CPU");
      scope.expect(!tensor.is_floating_point() || tensor.isfinite().all().item<bool>(), where + ": tensor '" + name + "' is not finite");
    }
    scope.expect(first.ids.empty() || first.ids.size() == batches.front().size(), where + ": the batch names " + std::to_string(first.ids.size()) + " of " + std::to_string(batches.front().size()) + " samples");
  }
}

void own_copies(DatasetSubject& s, Scope& scope) {
  const auto data = s.make<Dataset>();
  const auto batches = data->batches(Split::train, 2, 7);
  const Batch first = data->load(Split::train, batches.front(), 3);
  std::vector<Tensor> values;
  for (const auto& [name, tensor] : first.tensors) values.push_back(tensor.clone());
  const Batch second = data->load(Split::train, batches.back(), 4);
  for (std::size_t i = 0; i < values.size(); ++i) scope.expect(first.tensors[i].second.equal(values[i]), "loading a second batch changed the first");
  for (const auto& [name, tensor] : second.tensors) scope.expect(!tensor.requires_grad(), "tensor '" + name + "' requires gradients");
}

}  // namespace

std::unique_ptr<Dataset> with_defaults(plugins::Catalogue& catalogue, Host& host, const std::string& full_name, std::string& why) {
  try {
    auto data = catalogue.create<Dataset>(Kind::dataset, full_name, {}, host);
    data->describe();
    return data;
  } catch (...) {
    why = current_exception_text();
    return nullptr;
  }
}

void DatasetSubject::construct(Scope& scope) const {
  std::string why;
  if (!with_defaults(catalogue(), host(), full_name(), why)) scope.skip("its defaults do not suffice: " + why);
}

const std::vector<Check<DatasetSubject>>& dataset_checks() {
  static const std::vector<Check<DatasetSubject>> all{
      {"describes", "says what a model must know, and has samples", describes},
      {"order", "the order of a pass depends on the arguments alone, no sample comes twice", order},
      {"loads", "a batch depends on indices and seed alone, and is finite", loads},
      {"own_copies", "a batch stays as it is when another is loaded", own_copies}};
  return all;
}

}  // namespace zstar::verify
