#pragma once
/// \file What Python's torch.save writes: the zip form and the older form of several pickles in a row. Link: zlib, libzip.

#include <map>
#include <set>

#include "zstar/formats/arrays.hpp"
#include "zstar/nearest.hpp"

namespace zstar::formats {

using Tensors = std::map<std::string, Tensor>;

/// A dict of tensors within a file: its path of keys, and how many tensors it holds.
struct Inner {
  std::string key;
  std::size_t tensors = 0;
};

/// "--key model or --key ema"
inline std::string key_words(const std::vector<Inner>& inner) {
  std::string words;
  for (const Inner& dict : inner) words += (words.empty() ? "--key " : " or --key ") + dict.key;
  return words;
}

/// A file of torch.save, read without executing anything. Tensors come to the CPU, whatever device they were saved from.
class TorchFile {
 public:
  /// \throws FormatError  for bytes that are no such file
  explicit TorchFile(const Bytes& bytes) {
    if (is_zip(as_text(bytes))) read_zip(bytes);
    else read_older(as_text(bytes));
  }

  const Value& root() const { return pickles_.back().root(); }

  /// The tensor that a value stands for; nothing if it stands for none. \throws FormatError  for a tensor that reaches beyond its data
  std::optional<Tensor> tensor(const Value& value) const {
    const Value* v = &value;
    for (int depth = 0; depth < 8 && v->is(Value::Kind::object) && v->arguments && !v->arguments->items.empty(); ++depth) {
      const auto& a = v->arguments->items;
      if (v->text == "torch._utils._rebuild_parameter" || v->text == "torch.nn.parameter.Parameter") {
        v = a[0];
      } else if (v->text == "torch._tensor._rebuild_from_type_v2" && a.size() > 2 && a[2]->sequence()) {
        return a[0]->text == "torch._utils._rebuild_tensor_v2" ? std::optional(rebuilt(a[2]->items)) : std::nullopt;
      } else if (v->text == "torch._utils._rebuild_tensor_v2" || v->text == "torch._utils._rebuild_tensor") {
        return rebuilt(a);
      } else {
        return std::nullopt;
      }
    }
    return std::nullopt;
  }

  /// The tensors of the dict at `key`, a path of keys with '/' between them; empty: the outermost dict.
  /// \throws FormatError  with the keys that there are, and those under which there are tensors
  Tensors named(const std::string& key) const {
    const Value* at = &root();
    for (std::size_t begin = 0; !key.empty() && begin <= key.size();) {
      if (const Value* whole = at->find(key.substr(begin))) {  // keys may hold a '/' themselves
        at = whole;
        break;
      }
      const std::size_t end = std::min(key.find('/', begin), key.size());
      const Value* next = at->find(key.substr(begin, end - begin));
      if (!next) throw FormatError("has no key '" + key.substr(0, end) + "'" + where() + remedy(key));
      at = next;
      begin = end + 1;
    }
    Tensors tensors;
    for (std::size_t i = 0; i + 1 < at->items.size(); i += 2)
      if (at->items[i]->is(Value::Kind::text))
        if (auto t = tensor(*at->items[i + 1])) tensors.emplace(at->items[i]->text, std::move(*t));
    if (tensors.empty()) throw FormatError((key.empty() ? "holds no tensors in its outermost dict" : "holds no tensors under '" + key + "'") + where() + remedy(key));
    return tensors;
  }

  /// The dicts of tensors below the outermost one that `named` reaches, in the order of the file; at most four.
  std::vector<Inner> inner() const {
    std::vector<Inner> found;
    std::set<const Value*> seen{&root()};  // a dict may hold itself
    find_inner(root(), "", found, seen);
    return found;
  }

 private:
  static bool is_tensor(const Value& v) {
    return v.is(Value::Kind::object) && (v.text.compare(0, 22, "torch._utils._rebuild_") == 0 || v.text == "torch.nn.parameter.Parameter" || v.text == "torch._tensor._rebuild_from_type_v2");
  }

  static std::size_t tensors_in(const Value& dict) {
    std::size_t n = 0;
    for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) n += dict.items[i]->is(Value::Kind::text) && is_tensor(*dict.items[i + 1]);
    return n;
  }

  static void find_inner(const Value& dict, const std::string& prefix, std::vector<Inner>& found, std::set<const Value*>& seen) {
    constexpr std::size_t most = 4, deepest = 4;
    const bool deep = std::count(prefix.begin(), prefix.end(), '/') >= static_cast<std::ptrdiff_t>(deepest);
    for (std::size_t i = 0; i + 1 < dict.items.size() && found.size() < most && !deep; i += 2) {
      const Value &name = *dict.items[i], &value = *dict.items[i + 1];
      if (!name.is(Value::Kind::text) || value.sequence() || is_tensor(value) || !seen.insert(&value).second) continue;
      if (const std::size_t n = tensors_in(value)) found.push_back({prefix + name.text, n});
      find_inner(value, prefix + name.text + "/", found, seen);
    }
  }

  /// What to do about a key under which there is nothing.
  std::string remedy(const std::string& key) const {
    const std::vector<Inner> dicts = inner();
    std::vector<std::string> keys;
    for (const Inner& dict : dicts) keys.push_back(dict.key);
    const std::string near = key.empty() ? "" : quoted(nearest(key, keys));
    const std::size_t outermost = tensors_in(root());
    return (near.empty() ? "" : "\n  did you mean: " + near + "?") + "\n  remedy: " +
           (!dicts.empty()     ? "name a dict that holds tensors: " + key_words(dicts)
            : outermost > 0 ? "leave --key out: the outermost dict holds " + std::to_string(outermost) + " tensors"
                            : "name a file that holds a dict of tensors; in Python torch.save(model.state_dict(), FILE) writes one");
  }

  /// A sentence with the keys of the outermost dict and what is under them.
  std::string where() const {
    std::string text;
    const auto& items = root().items;
    for (std::size_t i = 0; i + 1 < items.size() && i < 40; i += 2) {
      std::size_t n = 0;
      for (std::size_t k = 1; k < items[i + 1]->items.size(); k += 2) n += items[i + 1]->items[k]->is(Value::Kind::object);
      text += (text.empty() ? "'" : ", '") + items[i]->text.substr(0, 60) + "'" + (n > 0 ? " (" + std::to_string(n) + " objects)" : "");
    }
    return text.empty() ? "; it has no keys" : "; its keys are " + text;
  }

  struct Storage {
    std::string_view data;
    torch::ScalarType dtype = torch::kFloat32;
  };

  static torch::ScalarType dtype_of(const std::string& storage) {
    static const std::map<std::string, torch::ScalarType> types{
        {"FloatStorage", torch::kFloat32}, {"DoubleStorage", torch::kFloat64}, {"HalfStorage", torch::kFloat16}, {"BFloat16Storage", torch::kBFloat16},
        {"LongStorage", torch::kInt64}, {"IntStorage", torch::kInt32}, {"ShortStorage", torch::kInt16}, {"CharStorage", torch::kInt8},
        {"ByteStorage", torch::kUInt8}, {"BoolStorage", torch::kBool}};
    const auto found = types.find(storage.substr(storage.rfind('.') + 1));
    if (found == types.end()) throw FormatError("has a storage of type '" + storage.substr(0, 60) + "', which is not read here");
    return found->second;
  }

  /// Type and key of a storage, from its identifier ('storage', type, key, device, numbers).
  static std::pair<torch::ScalarType, std::string> identified(const Value& persistent) {
    const Value* id = persistent.state;
    if (!persistent.is(Value::Kind::persistent) || !id || !id->sequence() || id->items.size() < 5 || id->items[0]->text != "storage")
      throw FormatError("has a tensor without a storage");
    if (id->items.size() > 5 && !id->items[5]->is(Value::Kind::none)) throw FormatError("has a storage that is part of another one, as only very old files do");
    return {dtype_of(id->items[1]->text), id->items[2]->text};
  }

  /// From the arguments storage, first number, sizes, strides.
  Tensor rebuilt(const std::vector<const Value*>& a) const {
    if (a.size() < 4 || !a[1]->is(Value::Kind::integer)) throw FormatError("has a tensor with damaged arguments");
    const auto [dtype, key] = identified(*a[0]);
    const auto found = storages_.find(key);
    if (found == storages_.end()) throw FormatError("lacks the data of storage '" + key + "'");
    const std::string_view data = as_text(found->second);
    const std::size_t size = c10::elementSize(dtype), present = data.size() / size;
    const Shape shape = integers_of(*a[2]), strides = integers_of(*a[3]);
    if (shape.size() != strides.size() || a[1]->integer < 0) throw FormatError("has a tensor with damaged strides");
    if (count_of(shape, present) == 0) return torch::empty(shape, dtype);
    std::uint64_t last = static_cast<std::uint64_t>(a[1]->integer);
    for (std::size_t i = 0; i < shape.size(); ++i) {
      if (strides[i] < 0 || (shape[i] > 1 && static_cast<std::uint64_t>(strides[i]) > present)) throw FormatError("has a tensor with damaged strides");
      last += static_cast<std::uint64_t>(shape[i] - 1) * static_cast<std::uint64_t>(strides[i]);  // both at most present: below 2⁶⁴
      if (last >= present) break;
    }
    if (last >= present) throw FormatError("has a tensor that reaches beyond its storage of " + std::to_string(present) + " numbers");
    const Tensor all = torch::from_blob(const_cast<char*>(data.data()), {static_cast<std::int64_t>(present)}, dtype);
    return all.as_strided(shape, strides, a[1]->integer).clone(torch::MemoryFormat::Contiguous);
  }

  void read_zip(const Bytes& bytes) {
    const ZipReader zip(bytes);
    const std::string tail = "/data.pkl";
    const auto main = std::find_if(zip.names().begin(), zip.names().end(), [&](const std::string& n) {
      return n.size() > tail.size() && n.compare(n.size() - tail.size(), tail.size(), tail) == 0;
    });
    if (main == zip.names().end()) throw FormatError("is a zip archive without data.pkl: torch.save did not write it");
    const std::string top = main->substr(0, main->size() - tail.size() + 1);
    if (zip.has(top + "byteorder") && as_text(zip.read(top + "byteorder")) != "little") throw FormatError("was written on a big-endian machine, which is not read here");
    document_ = zip.read(*main);
    pickles_.emplace_back(as_text(document_));
    const std::string folder = top + "data/";
    for (const std::string& name : zip.names())
      if (name.compare(0, folder.size(), folder) == 0) storages_.emplace(name.substr(folder.size()), zip.read(name));
  }

  /// A magic number, a version, facts on the machine, the object, the keys of its storages; then every storage behind its length.
  void read_older(std::string_view bytes) {
    std::size_t at = 0;
    const auto next = [&]() -> const Value& {
      pickles_.emplace_back(bytes.substr(at));
      at += pickles_.back().size();
      return pickles_.back().root();
    };
    constexpr double magic = 119547037146038801333356.0;
    const Value& first = next();
    if (!first.is(Value::Kind::real) || std::abs(first.real - magic) > 1e-12 * magic) throw FormatError("is a pickle, but torch.save did not write it");
    if (next().integer != 1001) throw FormatError("has an unknown version of torch.save's form");
    if (const Value* little = next().find("little_endian"); little && little->integer == 0) throw FormatError("was written on a big-endian machine, which is not read here");
    next();
    const std::size_t object = pickles_.size() - 1;
    std::map<std::string, torch::ScalarType> types;
    for (const Value& v : pickles_[object].values())
      if (v.is(Value::Kind::persistent)) {
        const auto [dtype, key] = identified(v);
        types.emplace(key, dtype);
      }
    for (const Value* key : next().items) {
      const auto type = types.find(key->text);
      if (type == types.end() || bytes.size() - at < 8) throw FormatError("is cut short or damaged before its numbers");
      std::uint64_t n = 0;
      std::memcpy(&n, bytes.data() + at, 8);
      at += 8;
      const std::size_t size = c10::elementSize(type->second);
      if (n > (bytes.size() - at) / size) throw FormatError("is cut short: storage '" + key->text + "' announces " + std::to_string(n) + " numbers");
      storages_.emplace(key->text, Bytes(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.begin() + static_cast<std::ptrdiff_t>(at + n * size)));
      at += static_cast<std::size_t>(n) * size;
    }
    std::swap(pickles_[object], pickles_.back());
  }

  Bytes document_;
  std::vector<Pickle> pickles_;
  std::map<std::string, Bytes> storages_;
};

/// Instructions of a pickle, one after the other.
class PickleWriter {
 public:
  PickleWriter& raw(std::string_view bytes) { return out_ += bytes, *this; }
  PickleWriter& global(const std::string& module, const std::string& name) { return raw("c" + module + "\n" + name + "\n"); }
  PickleWriter& text(const std::string& s) { return raw("X" + little_endian(s.size(), 4) + s); }
  PickleWriter& integer(std::int64_t n) { return raw(std::string("\x8a\x08", 2) + little_endian(static_cast<std::uint64_t>(n), 8)); }
  PickleWriter& tuple(at::IntArrayRef numbers) {
    raw("(");
    for (const std::int64_t n : numbers) integer(n);
    return raw("t");
  }
  const std::string& bytes() const { return out_; }

 private:
  static std::string little_endian(std::uint64_t n, int bytes) {
    std::string s;
    for (int i = 0; i < bytes; ++i) s += static_cast<char>(n >> (8 * i) & 0xff);
    return s;
  }
  std::string out_;
};

/// Writes an OrderedDict of tensors in the zip form, for torch.load. \throws FormatError  for a dtype without a storage class
inline void write_state_dict(const fs::path& file, const std::vector<std::pair<std::string, Tensor>>& tensors) {
  static const std::map<torch::ScalarType, std::string> storages{
      {torch::kFloat32, "FloatStorage"}, {torch::kFloat64, "DoubleStorage"}, {torch::kFloat16, "HalfStorage"}, {torch::kBFloat16, "BFloat16Storage"},
      {torch::kInt64, "LongStorage"}, {torch::kInt32, "IntStorage"}, {torch::kInt16, "ShortStorage"}, {torch::kInt8, "CharStorage"},
      {torch::kUInt8, "ByteStorage"}, {torch::kBool, "BoolStorage"}};
  std::vector<std::pair<std::string, std::string>> entries{{"archive/data.pkl", ""}, {"archive/byteorder", "little"}};
  PickleWriter w;
  w.raw("\x80\x02").global("collections", "OrderedDict").raw(")R(");
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const Tensor t = tensors[i].second.detach().cpu().contiguous();
    const auto storage = storages.find(t.scalar_type());
    if (storage == storages.end()) throw FormatError(std::string("cannot hold numbers of type ") + c10::toString(t.scalar_type()));
    const std::string key = std::to_string(i);
    w.text(tensors[i].first).global("torch._utils", "_rebuild_tensor_v2").raw("((").text("storage").global("torch", storage->second).text(key).text("cpu").integer(t.numel()).raw("tQ");
    w.integer(0).tuple(t.sizes()).tuple(t.strides()).raw("\x89").global("collections", "OrderedDict").raw(")RtR");
    entries.emplace_back("archive/data/" + key, std::string(static_cast<const char*>(t.data_ptr()), t.nbytes()));
  }
  entries[0].second = w.raw("u.").bytes();
  entries.emplace_back("archive/version", "3\n");
  write_zip(file, entries);
}

}  // namespace zstar::formats
