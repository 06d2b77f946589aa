#pragma once
/// \file NumPy's arrays: npy and npz files, and arrays inside of pickles. Link: zlib, libzip.

#include <charconv>
#include <optional>

#include <torch/types.h>

#include "zstar/formats/pickle.hpp"
#include "zstar/formats/zip.hpp"

namespace zstar::formats {

using torch::Tensor;
using Shape = std::vector<std::int64_t>;

/// The product of sizes. \throws FormatError  for a negative size, or for more than `most` numbers
inline std::int64_t count_of(const Shape& shape, std::uint64_t most) {
  std::uint64_t n = 1;
  for (const std::int64_t size : shape)
    if (size < 0) throw FormatError("has an array of negative size");
    else if (size == 0) n = 0;
  for (const std::int64_t size : shape) {
    if (n == 0) break;
    if (static_cast<std::uint64_t>(size) > most / n) throw FormatError("has an array larger than its data");
    n *= static_cast<std::uint64_t>(size);
  }
  return static_cast<std::int64_t>(n);
}

/// A copy of little-endian numbers as a tensor. \throws FormatError  where the data are not exactly as many
inline Tensor tensor_of(std::string_view data, torch::ScalarType dtype, const Shape& shape) {
  const std::size_t size = c10::elementSize(dtype);
  const std::int64_t n = count_of(shape, data.size() / size);
  if (static_cast<std::size_t>(n) * size != data.size())
    throw FormatError("has an array of " + std::to_string(data.size()) + " bytes where its shape needs " + std::to_string(static_cast<std::size_t>(n) * size));
  Tensor t = torch::empty(shape, dtype);
  if (n > 0) std::memcpy(t.data_ptr(), data.data(), data.size());
  return t;
}

/// \param descr  NumPy's word for the type: "<f4"; unsigned types that LibTorch lacks become the next wider signed one
/// \param columns_first  the data are in Fortran's order
inline Tensor array_of(std::string_view data, const std::string& descr, Shape shape, bool columns_first) {
  const char order = descr.empty() ? '?' : descr[0];
  const std::string type = descr.empty() ? "" : descr.substr(order == '<' || order == '>' || order == '|' || order == '=' ? 1 : 0);
  static const std::vector<std::pair<std::string, torch::ScalarType>> types{
      {"f8", torch::kFloat64}, {"f4", torch::kFloat32}, {"f2", torch::kFloat16}, {"i8", torch::kInt64}, {"i4", torch::kInt32}, {"i2", torch::kInt16},
      {"i1", torch::kInt8}, {"u1", torch::kUInt8}, {"b1", torch::kBool}, {"u2", torch::kInt16}, {"u4", torch::kInt32}, {"u8", torch::kInt64}};
  const auto found = std::find_if(types.begin(), types.end(), [&](const auto& t) { return t.first == type; });
  if (found == types.end()) throw FormatError("has an array of type '" + descr.substr(0, 20) + "'; read are numbers and truth values");
  std::string swapped;
  const std::size_t size = c10::elementSize(found->second);
  if (order == '>' && size > 1) {
    swapped = data;
    for (std::size_t i = 0; i + size <= swapped.size(); i += size) std::reverse(swapped.begin() + static_cast<std::ptrdiff_t>(i), swapped.begin() + static_cast<std::ptrdiff_t>(i + size));
    data = swapped;
  }
  if (columns_first) std::reverse(shape.begin(), shape.end());
  Tensor t = tensor_of(data, found->second, shape);
  if (type == "u2") t = t.to(torch::kInt32).bitwise_and(0xffff);
  if (type == "u4") t = t.to(torch::kInt64).bitwise_and(std::int64_t{0xffffffff});
  if (!columns_first || shape.size() < 2) return t;
  Shape axes(shape.size());
  for (std::size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<std::int64_t>(axes.size() - 1 - i);
  return t.permute(axes).contiguous();
}

/// The contents of a npy file. \throws FormatError
inline Tensor read_npy(std::string_view bytes) {
  if (bytes.substr(0, 6) != "\x93NUMPY" || bytes.size() < 10) throw FormatError("is no npy array: it does not begin with \\x93NUMPY");
  const std::size_t wide = bytes[6] == 1 ? 2 : 4;
  if (bytes.size() < 8 + wide) throw FormatError("is cut short in the header of an array");
  std::uint64_t length = 0;
  for (std::size_t i = wide; i-- > 0;) length = length << 8 | static_cast<std::uint8_t>(bytes[8 + i]);
  if (length > bytes.size() - 8 - wide) throw FormatError("is cut short in the header of an array");
  const std::string header(bytes.substr(8 + wide, static_cast<std::size_t>(length)));
  const auto after = [&](const std::string& key) {
    const auto at = header.find("'" + key + "':");
    if (at == std::string::npos) throw FormatError("has an array whose header lacks '" + key + "'");
    const auto value = header.find_first_not_of(' ', at + key.size() + 3);
    if (value == std::string::npos) throw FormatError("has an array whose header ends before '" + key + "'");
    return value;
  };
  const auto quote = after("descr"), open = after("shape"), order = after("fortran_order");
  if (header[quote] != '\'') throw FormatError("has an array of records; read are arrays of numbers");
  const auto end = header.find('\'', quote + 1), close = header.find(')', open);
  if (end == std::string::npos || header[open] != '(' || close == std::string::npos) throw FormatError("has an array with a damaged header");
  Shape shape;
  for (auto at = open + 1; at < close;) {
    at = header.find_first_of("0123456789)", at);
    if (at >= close) break;
    std::int64_t n = 0;
    const auto [next, error] = std::from_chars(header.data() + at, header.data() + close, n);
    if (error != std::errc()) throw FormatError("has an array with a damaged shape");
    shape.push_back(n);
    at = static_cast<std::size_t>(next - header.data());
  }
  return array_of(bytes.substr(8 + wide + static_cast<std::size_t>(length)), header.substr(quote + 1, end - quote - 1), shape, header.compare(order, 4, "True") == 0);
}

/// A npz archive: arrays by name.
class Npz {
 public:
  explicit Npz(const Bytes& bytes) : zip_(bytes) {}
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const std::string& entry : zip_.names())
      if (entry.size() > 4 && entry.compare(entry.size() - 4, 4, ".npy") == 0) names.push_back(entry.substr(0, entry.size() - 4));
    return names;
  }
  bool has(const std::string& name) const { return zip_.has(name + ".npy"); }
  Tensor array(const std::string& name) const {
    const Bytes bytes = zip_.read(name + ".npy");
    return read_npy(as_text(bytes));
  }

 private:
  ZipReader zip_;
};

/// \throws FormatError  for a dtype that NumPy lacks
inline std::string npy_bytes(const Tensor& tensor) {
  const Tensor t = tensor.detach().cpu().contiguous();
  static const std::vector<std::pair<torch::ScalarType, const char*>> types{
      {torch::kFloat64, "<f8"}, {torch::kFloat32, "<f4"}, {torch::kFloat16, "<f2"}, {torch::kInt64, "<i8"}, {torch::kInt32, "<i4"},
      {torch::kInt16, "<i2"}, {torch::kInt8, "|i1"}, {torch::kUInt8, "|u1"}, {torch::kBool, "|b1"}};
  const auto found = std::find_if(types.begin(), types.end(), [&](const auto& x) { return x.first == t.scalar_type(); });
  if (found == types.end()) throw FormatError(std::string("cannot hold numbers of type ") + c10::toString(t.scalar_type()));
  std::string header = std::string("{'descr': '") + found->second + "', 'fortran_order': False, 'shape': (";
  for (const std::int64_t n : t.sizes()) header += std::to_string(n) + ",";
  header += "), }";
  header.append(63 - (10 + header.size()) % 64, ' ');  // the data begin at a multiple of 64
  header += '\n';
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(header.size() & 0xff);
  bytes += static_cast<char>(header.size() >> 8);
  bytes += header;
  return bytes.append(static_cast<const char*>(t.data_ptr()), t.nbytes());
}

/// The integers of a tuple or list of a pickle. \throws FormatError
inline Shape integers_of(const Value& v) {
  Shape out;
  if (!v.sequence()) throw FormatError("has a value where a list of integers was expected");
  for (const Value* item : v.items) {
    if (!item->is(Value::Kind::integer)) throw FormatError("has a value where an integer was expected");
    out.push_back(item->integer);
  }
  return out;
}

/// The raw bytes of a text, bytes, or of bytes that Python 3 wrote for protocol 2 as a text in Latin-1.
inline std::string raw_bytes(const Value& v) {
  if (v.is(Value::Kind::bytes) || v.is(Value::Kind::text)) return v.text;
  if (!v.made_by("_codecs.encode") || !v.arguments || v.arguments->items.empty()) throw FormatError("has an array without data");
  const std::string& utf8 = v.arguments->items[0]->text;
  std::string out;
  for (std::size_t i = 0; i < utf8.size(); ++i) {
    const auto c = static_cast<std::uint8_t>(utf8[i]);
    if (c < 0x80) out += utf8[i];
    else if ((c == 0xc2 || c == 0xc3) && i + 1 < utf8.size()) out += static_cast<char>((c & 3) << 6 | (static_cast<std::uint8_t>(utf8[++i]) & 0x3f));
    else throw FormatError("has an array whose data are no Latin-1 text");
  }
  return out;
}

/// A NumPy array of numbers inside of a pickle. \throws FormatError  for another value
inline Tensor array_of(const Value& v) {
  const bool made = v.made_by("numpy.core.multiarray._reconstruct") || v.made_by("numpy._core.multiarray._reconstruct");
  if (!made || !v.state || v.state->items.size() < 5) throw FormatError("has a value where an array was expected");
  const auto& state = v.state->items;  // version, shape, type, Fortran's order, data
  const Value& type = *state[2];
  if (!type.made_by("numpy.dtype") || !type.arguments || type.arguments->items.empty() || !type.state || type.state->items.size() < 2)
    throw FormatError("has an array without a type");
  return array_of(raw_bytes(*state[4]), type.state->items[1]->text + type.arguments->items[0]->text, integers_of(*state[1]), state[3]->integer != 0);
}

}  // namespace zstar::formats
