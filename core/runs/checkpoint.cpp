#include "core/runs/checkpoint.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <functional>
#include <limits>

#include <nlohmann/json.hpp>

#include "core/runs/folder.hpp"

namespace zstar::runs {
namespace fs = std::filesystem;
namespace {

// Layout: magic (8), length of the header (8, little-endian), header (JSON), data, SHA-256 of all before it (32).
constexpr std::string_view magic = "ZSTARCK1";
constexpr std::size_t checksum_size = 32;

std::string checksum(std::string_view bytes) {
  std::string digest(checksum_size, '\0');
  EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()), nullptr, EVP_sha256(), nullptr);
  return digest;
}

const std::vector<std::pair<std::string, torch::ScalarType>>& dtypes() {
  static const std::vector<std::pair<std::string, torch::ScalarType>> table{
      {"F64", torch::kFloat64}, {"F32", torch::kFloat32}, {"F16", torch::kFloat16}, {"BF16", torch::kBFloat16},
      {"I64", torch::kInt64},   {"I32", torch::kInt32},   {"U8", torch::kUInt8},    {"BOOL", torch::kBool}};
  return table;
}

[[noreturn]] void refuse(const fs::path& file, const std::string& what, const char* remedy = "use an earlier checkpoint") {
  throw RunError(file.string() + ": error: " + what + "\n  expected: a checkpoint that zstar wrote\n  remedy: " + remedy);
}

torch::Tensor tensor_of(const nlohmann::json& entry, std::string_view data) {
  const auto dtype = entry.at("dtype").get<std::string>();
  const auto found = std::find_if(dtypes().begin(), dtypes().end(), [&](const auto& d) { return d.first == dtype; });
  if (found == dtypes().end()) throw std::invalid_argument("unknown dtype " + dtype);
  const auto shape = entry.at("shape").get<std::vector<std::int64_t>>();
  const auto begin = entry.at("begin").get<std::uint64_t>();
  std::uint64_t bytes = c10::elementSize(found->second);
  for (const std::int64_t n : shape) {
    if (n < 0 || (n > 0 && bytes > data.size() / static_cast<std::uint64_t>(n))) throw std::invalid_argument("a shape beyond the data");
    bytes *= static_cast<std::uint64_t>(n);
  }
  if (begin > data.size() || bytes > data.size() - begin) throw std::invalid_argument("data beyond the end");
  torch::Tensor t = torch::empty(shape, found->second);
  if (bytes > 0) std::memcpy(t.data_ptr(), data.data() + begin, bytes);
  return t;
}

/// 40 of "step-000000040.ckpt"; nothing of another name.
std::optional<std::uint64_t> step_of(const fs::path& file) {
  const std::string name = file.filename().string();
  std::uint64_t step = 0;
  const char* const digits = name.data() + std::min<std::size_t>(5, name.size());
  const auto [behind, error] = std::from_chars(digits, name.data() + name.size(), step);
  return name.compare(0, 5, "step-") == 0 && error == std::errc() && std::string_view(behind) == ".ckpt" ? std::optional(step) : std::nullopt;
}

}  // namespace

void save(const Checkpoint& checkpoint, const fs::path& file) {
  nlohmann::json header{{"state", nlohmann::json::parse(checkpoint.state)}};
  std::string data;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    const torch::Tensor t = tensor.detach().cpu().contiguous();
    const auto dtype = std::find_if(dtypes().begin(), dtypes().end(), [&](const auto& d) { return d.second == t.scalar_type(); });
    if (dtype == dtypes().end()) throw RunError(file.string() + ": error: tensor '" + name + "' has a dtype that checkpoints cannot hold");
    header["tensors"][name] = {{"dtype", dtype->first}, {"shape", t.sizes().vec()}, {"begin", data.size()}};
    data.append(static_cast<const char*>(t.data_ptr()), t.nbytes());
  }
  const std::string text = header.dump();
  const std::uint64_t length = text.size();
  std::string bytes(magic);
  bytes.append(reinterpret_cast<const char*>(&length), sizeof length);
  bytes += text;
  bytes += data;
  bytes += checksum(bytes);
  write_whole(file, bytes);
}

Checkpoint load(const fs::path& file) {
  const std::string bytes = read_whole(file);
  const std::string_view all(bytes);
  if (all.substr(0, magic.size()) != magic) refuse(file, "not a checkpoint", "name a run folder, or a file of its folder checkpoints");
  if (all.size() < magic.size() + 8 + checksum_size) refuse(file, "the checkpoint is cut short: " + std::to_string(all.size()) + " bytes");
  const std::string_view body = all.substr(0, all.size() - checksum_size);
  if (checksum(body) != all.substr(body.size())) refuse(file, "the checkpoint is cut short or damaged: its checksum differs");
  std::uint64_t length = 0;
  std::memcpy(&length, body.data() + magic.size(), sizeof length);
  const std::string_view rest = body.substr(magic.size() + 8);
  if (length > rest.size()) refuse(file, "the checkpoint is damaged: its header reaches beyond the end");
  try {
    const auto header = nlohmann::json::parse(rest.substr(0, length));
    Checkpoint result;
    result.state = header.at("state").dump();
    if (header.contains("tensors"))
      for (const auto& [name, entry] : header.at("tensors").items()) result.tensors[name] = tensor_of(entry, rest.substr(length));
    return result;
  } catch (const RunError&) {
    throw;
  } catch (const std::exception& error) {
    refuse(file, std::string("the checkpoint is damaged: ") + error.what());
  }
}

std::vector<fs::path> checkpoints(const fs::path& run) {
  const fs::path folder = run / "checkpoints";
  std::error_code error;
  if (fs::symlink_status(folder, error).type() == fs::file_type::not_found) return {};
  std::vector<std::pair<std::uint64_t, fs::path>> files;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (const auto step = step_of(entry->path())) files.emplace_back(*step, entry->path());
  if (error)
    throw RunError(folder.string() + ": error: the checkpoints cannot be reached: " + error.message() +
                   "\n  expected: the folder that the run keeps them in\n  remedy: bring it back; if it is a link, mount what it leads to");
  std::sort(files.begin(), files.end(), std::greater<>());
  std::vector<fs::path> newest_first;
  for (auto& [step, file] : files) newest_first.push_back(std::move(file));
  return newest_first;
}

}  // namespace zstar::runs
