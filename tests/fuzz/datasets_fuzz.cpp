/// \file Official forms of data sets: one file of a set is damaged, its others are good → a data set, or a sentence that names a file.
#include <unistd.h>

#include <fstream>

#include "tests/fuzz/fuzz.hpp"
#include "tests/support/parts.hpp"
#include "tests/support/scipy.hpp"
#include "zstar/abi/dataset.hpp"

namespace {

using namespace zstar;
using namespace std::string_literals;
namespace fs = std::filesystem;

/// A file that is damaged, and how its set is opened. The first byte of an input is the number of the role.
struct Role {
  std::string dataset, file;
  Settings settings = {};
  std::string in = {};  ///< the folder that is opened, below that of all files
};

const std::vector<Role>& roles() {
  static const Settings one_file{{"files", std::int64_t{1}}}, two_folds{{"graphs", "S"s}, {"folds", std::int64_t{2}}, {"features", "both"s}},
      types{{"graphs", "S"s}, {"folds", std::int64_t{2}}, {"edges", "published"s}}, gin{{"graphs", "G"s}, {"folds", std::int64_t{2}}},
      listed{{"graphs", "G"s}, {"split", "files"s}}, fine{{"labels", "fine"s}}, coarse{{"labels", "coarse"s}},
      split{{"protocol", "geom_gcn"s}, {"row_norm", false}}, words{{"vocabulary", (fs::temp_directory_path() / ("zstar-fuzz-data-" + std::to_string(::getpid())) / "words").string()}};
  static const std::vector<Role> all{
      {"idx_images", "train-images-idx3-ubyte"}, {"idx_images", "train-labels-idx1-ubyte"}, {"cifar10", "data_batch_1.bin", one_file},
      {"tu", "S_A.txt", two_folds}, {"tu", "S_graph_indicator.txt", two_folds}, {"tu", "S_graph_labels.txt", two_folds}, {"tu", "S_node_labels.txt", two_folds},
      {"tu", "S_node_attributes.txt", two_folds}, {"gin", "G.txt", gin}, {"geom_gcn", "out1_node_feature_label.txt", {{"graph", "g"s}}},
      {"geom_gcn", "out1_graph_edges.txt", {{"graph", "g"s}}}, {"geom_gcn", "g_split_0.6_0.2_0.npz", {{"graph", "g"s}}}, {"heterophilous", "h.npz", {{"graph", "h"s}}},
      {"ppi", "test_graph.json"}, {"ppi", "test_feats.npy"}, {"ppi", "test_labels.npy"}, {"ppi", "test_graph_id.npy"},
      {"planetoid", "ind.cora.allx", split}, {"planetoid", "ind.cora.ally", split}, {"planetoid", "ind.cora.graph", split}, {"planetoid", "ind.cora.test.index", split},
      {"amazon", "meta.txt"}, {"amazon", "adj_list.txt"}, {"amazon", "label.txt"}, {"amazon", "test_idx.txt"}, {"text", "words", words}, {"text", "train.txt"},
      {"cifar10", "cifar-py/data_batch_1", one_file, "cifar-py"}, {"cifar10", "cifar-py/batches.meta", one_file, "cifar-py"}, {"cifar10", "cifar-100/train.bin", fine, "cifar-100"},
      {"cifar10", "cifar-100-py/train", coarse, "cifar-100-py"}, {"planetoid", "ind.cora.tx", split}, {"planetoid", "ind.cora.y", split}, {"planetoid", "ind.cora.ty", split},
      {"planetoid", "cora_split_0.6_0.2_0.npz", split}, {"amazon", "train_idx-0.06.txt"}, {"gin", "10fold_idx/test_idx-1.txt", listed}, {"tu", "S_edge_labels.txt", types},
      {"ppi", "sage/x-G.json", {}, "sage"}, {"ppi", "sage/x-feats.npy", {}, "sage"}, {"ppi", "sage/x-id_map.json", {}, "sage"}, {"ppi", "sage/x-class_map.json", {}, "sage"}};
  return all;
}

/// The folder of all files, as long as the program runs.
struct Folder {
  const fs::path path = fs::temp_directory_path() / ("zstar-fuzz-data-" + std::to_string(::getpid()));
  std::map<std::string, std::string> good;
  Folder();
  ~Folder() { fs::remove_all(path); }
  void write(const std::string& name, std::string_view bytes) const { std::ofstream(path / name, std::ios::binary) << bytes; }
  std::string npz(const std::vector<std::pair<std::string, Tensor>>& arrays) const {
    std::vector<std::pair<std::string, std::string>> entries;
    for (const auto& [name, t] : arrays) entries.emplace_back(name + ".npy", formats::npy_bytes(t));
    formats::write_zip(path / "archive", entries);
    return fuzz::read_whole(path / "archive");
  }
};

/// A batch of CIFAR's Python version, with one image. \param labels  the lists of its dict that hold its label, 1
std::string cifar_pickle(const std::vector<std::string>& labels) {
  formats::PickleWriter w;
  w.raw("\x80\x02}(").text("data").raw(test::array("u1", std::string(3072, 'x'), {1, 3072}));
  for (const std::string& list : labels) w.text(list).raw("](").integer(1).raw("e");
  return w.raw("u.").bytes();
}

Folder::Folder() {
  for (const char* below : {"", "cifar-py", "cifar-100", "cifar-100-py", "10fold_idx", "sage"}) fs::create_directories(path / below);
  const Tensor first = torch::tensor({1, 0, 0, 0, 0}, torch::kBool), second = first.roll(1), third = first.roll(2), two = torch::tensor({0, 1, 0, 0, 1}, torch::kInt64);
  good = {{"train-images-idx3-ubyte", "\0\0\x08\x03\0\0\0\2\0\0\0\3\0\0\0\3"s + std::string(18, 'x')}, {"train-labels-idx1-ubyte", "\0\0\x08\x01\0\0\0\2\0\1"s},
          {"data_batch_1.bin", "\3"s + std::string(3072, 'x')},
          {"S_A.txt", "1, 2\n2, 1\n3, 4\n4, 3\n"}, {"S_graph_indicator.txt", "1\n1\n2\n2\n"}, {"S_graph_labels.txt", "-1\n1\n"}, {"S_node_labels.txt", "5\n9\n5\n9\n"},
          {"S_node_attributes.txt", "1, 2.5\n0, 1e-3\n0, 0\n1, 1\n"}, {"G.txt", "2\n3 0\n5 1 1\n9 2 0 2\n5 1 1\n2 2\n9 1 1\n9 1 0\n"},
          {"out1_node_feature_label.txt", "node_id\tfeature\tlabel\n0\t1,0\t0\n1\t0,1\t1\n2\t1,1\t1\n3\t0,0\t0\n4\t1,0\t1\n"}, {"out1_graph_edges.txt", "node_id\tnode_id\n0\t1\n1\t2\n"},
          {"g_split_0.6_0.2_0.npz", npz({{"train_mask", first}, {"val_mask", second}, {"test_mask", third}})},
          {"h.npz", npz({{"node_features", torch::ones({5, 2})}, {"node_labels", two}, {"edges", torch::tensor({{0, 1}, {1, 4}}, torch::kInt64)}, {"train_masks", first.unsqueeze(0)},
                         {"val_masks", second.unsqueeze(0)}, {"test_masks", third.unsqueeze(0)}})},
          {"ind.cora.x", test::csr({1}, {0}, {0, 1}, 3)}, {"ind.cora.allx", test::csr({1, 2}, {0, 2}, {0, 1, 2}, 3)}, {"ind.cora.tx", test::csr({5, 7}, {1, 1}, {0, 1, 2}, 3)},
          {"ind.cora.y", test::table({0, 1}, 1)}, {"ind.cora.ally", test::table({0, 1, 1, 0}, 2)}, {"ind.cora.ty", test::table({1, 0, 0, 1}, 2)}, {"ind.cora.test.index", "4\n2\n"},
          {"ind.cora.graph", test::small_graph()},
          {"meta.txt", "3 2\n"}, {"adj_list.txt", "0 1\n1 0 2\n2 1\n"}, {"label.txt", "1 0\n1 1\n0 1\n"}, {"train_idx-0.06.txt", "0\n"}, {"test_idx.txt", "1\n2\n"},
          {"train.txt", "a b a\nb \xc3\xa4 c\n"}, {"words", "zstar vocabulary, word\n<eos>\na\nb\n\xc3\xa4\nc\n"},
          {"cifar-py/data_batch_1", cifar_pickle({"labels"})}, {"cifar-100/train.bin", "\3\1"s + std::string(3072, 'x')}, {"cifar-100-py/train", cifar_pickle({"fine_labels", "coarse_labels"})},
          {"cifar-py/batches.meta", formats::PickleWriter().raw("\x80\x02}").text("label_names").raw("](").text("plane").text("car").raw("es.").bytes()},
          {"10fold_idx/test_idx-1.txt", "0\n"}, {"S_edge_labels.txt", "0\n0\n1\n1\n"},
          {"sage/x-G.json", R"({"directed": false, "nodes": [{"id": 7, "val": false, "test": false, "feature": [1]}, {"id": 8, "val": false, "test": false}, {"id": 3, "val": true, "test": false},)"
                            R"({"id": 4, "val": true, "test": false}, {"id": 5, "val": false, "test": true}, {"id": "6", "val": false, "test": true}],)"
                            R"("links": [{"source": 0, "target": 1}, {"source": 2, "target": 3}, {"source": 5, "target": 4}, {"source": 1, "target": 5}]})"},
          {"sage/x-feats.npy", formats::npy_bytes(torch::arange(12, torch::kFloat64).view({6, 2}))}, {"sage/x-id_map.json", R"({"3": 0, "4": 1, "5": 2, "6": 3, "7": 4, "8": 5})"},
          {"sage/x-class_map.json", R"({"3": [0, 1], "4": [1, 0], "5": [0, 0], "6": [1, 1], "7": [0, 1], "8": [0, 1]})"}};
  good["cora_split_0.6_0.2_0.npz"] = good["g_split_0.6_0.2_0.npz"];
  for (const char* name : {"train", "valid", "test"}) {
    good[name + "_graph.json"s] = R"({"directed": false, "nodes": [], "links": [{"source": 0, "target": 1}, {"source": 2, "target": 3}]})";
    good[name + "_feats.npy"s] = formats::npy_bytes(torch::arange(8, torch::kFloat64).view({4, 2})), good[name + "_labels.npy"s] = formats::npy_bytes(torch::eye(4, torch::kInt64));
    good[name + "_graph_id.npy"s] = formats::npy_bytes(torch::tensor({7, 7, 8, 8}, torch::kInt64));
  }
  for (const auto& [name, bytes] : good) write(name, bytes);
}

const Folder& folder() {
  static const Folder all;
  return all;
}

/// \return whether the data set takes the files
bool open(const Role& role) {
  Settings settings = role.settings;
  settings.push_back({"path", (role.in.empty() ? folder().path : folder().path / role.in).string()});
  if (role.dataset == "planetoid") settings.push_back({"splits", folder().path.string()});
  try {
    const auto data = test::make<Dataset>(Kind::dataset, role.dataset, settings);
    for (const Split split : {Split::train, Split::test})
      for (const auto& rows : data->batches(split, 2, 1)) data->load(split, rows, 1);
    return true;
  } catch (const OptionError&) {
  } catch (const std::runtime_error& refusal) {
    if (std::string(refusal.what()).find(folder().path.string()) == std::string::npos) throw;  // a refusal names its file
  }
  return false;
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds;
  for (std::size_t k = 0; k < roles().size(); ++k) {
    if (!open(roles()[k])) throw std::logic_error("the good " + roles()[k].file + " is refused");  // mutations of it would try little
    seeds.push_back(static_cast<char>(k) + folder().good.at(roles()[k].file));
  }
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Role& role = roles()[data[0] % roles().size()];
  folder().write(role.file, {reinterpret_cast<const char*>(data) + 1, size - 1});
  open(role);
  folder().write(role.file, folder().good.at(role.file));
  return 0;
}
