#include "tests/reference/case.hpp"

#include <cstring>
#include <fstream>

#include <fmt/format.h>

namespace zstar::reference {
namespace fs = std::filesystem;
namespace {

std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error(file.string() + " cannot be read");
  return {std::istreambuf_iterator<char>(in), {}};
}

std::map<std::string, Tensor> read_safetensors(const fs::path& file) {
  const std::string bytes = read(file);
  std::uint64_t length = 0;
  if (bytes.size() < 8) throw std::runtime_error(file.string() + " is cut short");
  std::memcpy(&length, bytes.data(), 8);
  if (length > bytes.size() - 8) throw std::runtime_error(file.string() + " is cut short");
  const auto header = nlohmann::json::parse(bytes.begin() + 8, bytes.begin() + 8 + static_cast<std::ptrdiff_t>(length));
  const std::map<std::string, torch::ScalarType> dtypes{{"F64", torch::kFloat64}, {"F32", torch::kFloat32}, {"I64", torch::kInt64},
                                                        {"I32", torch::kInt32},   {"BOOL", torch::kBool},   {"U8", torch::kUInt8}};
  std::map<std::string, Tensor> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const Tensor t = torch::empty(entry.at("shape").get<std::vector<std::int64_t>>(), dtypes.at(entry.at("dtype")));
    const auto begin = entry.at("data_offsets")[0].get<std::uint64_t>(), end = entry.at("data_offsets")[1].get<std::uint64_t>();
    if (end < begin || end > bytes.size() - 8 - length || end - begin != t.nbytes()) throw std::runtime_error(file.string() + ": tensor " + name + " does not fit");
    if (end > begin) std::memcpy(t.data_ptr(), bytes.data() + 8 + length + begin, end - begin);
    tensors[name] = t;
  }
  return tensors;
}

}  // namespace

Case::Case(const fs::path& where) : folder(where) {
  const auto json = nlohmann::json::parse(read(folder / "case.json"));
  name = json.at("case"), kind = json.at("kind");
  settings = json.at("settings");
  tolerance_ = json.at("tolerance");
  if (json.contains("function") && json["function"].is_object()) function = json["function"], family = function.value("family", std::string());
  const auto dtype = json.at("dtype") == "float32" ? torch::kFloat32 : torch::kFloat64;
  for (const auto& [key, tensor] : read_safetensors(folder / "tensors.safetensors"))
    tensors_[key] = tensor.is_floating_point() ? tensor.to(dtype) : tensor;
  for (const auto& [key, tensor] : tensors_)
    if (key.compare(0, 6, "input/") != 0 && key.compare(0, 6, "param/") != 0) wanted_.insert(key);
}

std::set<std::string> Case::names(const std::string& prefix) const {
  std::set<std::string> found;
  for (const auto& entry : tensors_)
    if (entry.first.compare(0, prefix.size(), prefix) == 0) found.insert(entry.first);
  return found;
}

const Tensor& Case::at(const std::string& tensor) const {
  const auto found = tensors_.find(tensor);
  if (found == tensors_.end()) throw std::runtime_error("the case has no tensor '" + tensor + "'");
  return found->second;
}

void Case::compare(const std::string& tensor, const Tensor& result) {
  if (!has(tensor)) return;
  wanted_.erase(tensor);
  Tensor want = at(tensor).to(torch::kFloat64), got = result.detach().to(torch::kFloat64).cpu();
  if (got.sizes() != want.sizes()) {
    if (tensor.compare(0, 6, "trace/") == 0 && want.dim() > 0 && got.dim() > 0 && got.numel() / std::max<std::int64_t>(1, got.size(0)) == want.numel() / want.size(0)) {
      const std::int64_t common = std::min(got.size(0), want.size(0));
      const bool shorter = got.size(0) != want.size(0);
      if (shorter && (want.scalar_type() == torch::kFloat64 && at(tensor).scalar_type() != torch::kFloat32)) return fail(tensor + fmt::format(": {} evaluations, expected {}", got.size(0), want.size(0)));
      got = got.narrow(0, 0, common).reshape({common, -1}), want = want.narrow(0, 0, common).reshape({common, -1});
    } else if (got.numel() == want.numel()) {
      got = got.reshape(want.sizes());
    } else {
      return fail(tensor + fmt::format(": {} numbers, expected {}", got.numel(), want.numel()));
    }
  }
  const auto& rule = tolerance_.contains(tensor) ? tolerance_[tensor] : tolerance_;
  const double absolute = rule.contains("absolute") ? rule["absolute"].get<double>() : rule.value("atol", 0.0);
  const double relative = rule.contains("relative") ? rule["relative"].get<double>() : rule.value("rtol", 0.0);
  if (want.numel() == 0) return;
  const Tensor error = (got - want).abs(), allowed = absolute + relative * want.abs();
  const Tensor share = torch::where(error == 0, torch::zeros_like(error), error / allowed.clamp_min(1e-300));
  const double largest = share.isnan().any().item<bool>() ? INFINITY : share.max().item<double>();
  if (largest >= worst_share_) worst_share_ = largest, worst_ = tensor, worst_error_ = error.max().item<double>();
}

bool Case::passed() { return reason_.empty() && wanted_.empty() && worst_share_ <= 1; }

std::string Case::line() {
  std::string text = fmt::format("{} {:<34}", passed() ? "pass" : "FAIL", name);
  if (!worst_.empty()) text += fmt::format(" error {:.1e}, {:.1e} of the tolerance ({})", worst_error_, worst_share_, worst_);
  if (!reason_.empty()) text += "  " + reason_;
  else if (!wanted_.empty()) text += "  not compared: " + *wanted_.begin() + fmt::format(" and {} more", wanted_.size() - 1);
  return text;
}

}  // namespace zstar::reference
