#pragma once
/// \file The safetensors format. Link: zlib, libzip.

#include <nlohmann/json.hpp>

#include "zstar/formats/torch_file.hpp"

namespace zstar::formats {

namespace detail {
inline const std::vector<std::pair<std::string, torch::ScalarType>>& safetensors_types() {
  static const std::vector<std::pair<std::string, torch::ScalarType>> types{
      {"F64", torch::kFloat64}, {"F32", torch::kFloat32}, {"F16", torch::kFloat16}, {"BF16", torch::kBFloat16}, {"I64", torch::kInt64},
      {"I32", torch::kInt32}, {"I16", torch::kInt16}, {"I8", torch::kInt8}, {"U8", torch::kUInt8}, {"BOOL", torch::kBool}};
  return types;
}
}  // namespace detail

/// \throws FormatError
inline Tensors read_safetensors(std::string_view bytes) {
  std::uint64_t length = 0;
  if (bytes.size() < 8) throw FormatError("is cut short: a safetensors file has at least 8 bytes");
  std::memcpy(&length, bytes.data(), 8);
  if (length > bytes.size() - 8) throw FormatError("is no safetensors file, or cut short: its header is announced as " + std::to_string(length) + " bytes");
  const std::string_view data = bytes.substr(8 + static_cast<std::size_t>(length));
  Tensors tensors;
  try {
    const auto header = nlohmann::json::parse(bytes.substr(8, static_cast<std::size_t>(length)));
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") continue;
      const auto& types = detail::safetensors_types();
      const auto type = std::find_if(types.begin(), types.end(), [&, word = entry.at("dtype").get<std::string>()](const auto& t) { return t.first == word; });
      if (type == types.end()) throw FormatError("has the tensor '" + name + "' of a type that is not read here");
      const auto offsets = entry.at("data_offsets").get<std::vector<std::uint64_t>>();
      if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data.size()) throw FormatError("has the tensor '" + name + "' outside of its data: it is cut short or damaged");
      tensors.emplace(name, tensor_of(data.substr(static_cast<std::size_t>(offsets[0]), static_cast<std::size_t>(offsets[1] - offsets[0])), type->second, entry.at("shape").get<Shape>()));
    }
  } catch (const nlohmann::json::exception&) {
    throw FormatError("is no safetensors file: its header is no JSON of the expected form");
  }
  return tensors;
}

/// \throws FormatError  for a dtype that the format lacks
inline std::string safetensors_bytes(const std::vector<std::pair<std::string, Tensor>>& tensors) {
  nlohmann::json header = nlohmann::json::object();
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    const Tensor t = tensor.detach().cpu().contiguous();
    const auto& types = detail::safetensors_types();
    const auto type = std::find_if(types.begin(), types.end(), [&](const auto& x) { return x.second == t.scalar_type(); });
    if (type == types.end()) throw FormatError(std::string("cannot hold numbers of type ") + c10::toString(t.scalar_type()));
    header[name] = {{"dtype", type->first}, {"shape", t.sizes().vec()}, {"data_offsets", {data.size(), data.size() + t.nbytes()}}};
    data.append(static_cast<const char*>(t.data_ptr()), t.nbytes());
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  const std::uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + text + data;
}

/// Of a form without nested dicts. \throws FormatError  for a key
inline void refuse_key(const std::string& key, const char* form) {
  if (!key.empty()) throw FormatError(std::string("is ") + form + ", a form without nested dicts, in which there is no key '" + key + "'\n  remedy: leave --key out");
}

/// Named tensors of a file of any format that is known here, by its contents. \param key  where in a file of torch.save
inline Tensors read_tensors(const Bytes& bytes, const std::string& key = {}) {
  const std::string_view text = as_text(bytes);
  if (is_zip(text)) {
    const Npz npz(bytes);
    const auto names = npz.names();
    if (names.empty()) return TorchFile(bytes).named(key);
    refuse_key(key, "npz");
    Tensors tensors;
    for (const std::string& name : names) tensors.emplace(name, npz.array(name));
    return tensors;
  }
  if (!bytes.empty() && bytes[0] == 0x80) return TorchFile(bytes).named(key);
  if (bytes.size() > 8 && bytes[8] == '{') return refuse_key(key, "safetensors"), read_safetensors(text);
  throw FormatError("is no file of torch.save, npz or safetensors");
}

/// The dicts of tensors within a file that `key` can name; those of a file of torch.save. \throws FormatError
inline std::vector<Inner> inner_dicts(const Bytes& bytes) {
  const bool zip = is_zip(as_text(bytes));
  if (zip ? !Npz(bytes).names().empty() : bytes.empty() || bytes[0] != 0x80) return {};
  return TorchFile(bytes).inner();
}

}  // namespace zstar::formats
