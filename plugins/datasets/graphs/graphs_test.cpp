/// \file Sets of graphs, written by the test in their official forms; damaged ones are refused with a sentence.
#include <unistd.h>

#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/parts.hpp"
#include "zstar/abi/dataset.hpp"
#include "zstar/formats/torch_file.hpp"

namespace {

using namespace zstar;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

/// A host that keeps the warnings.
class Listening final : public Host {
 public:
  Products& products() override { return test::host().products(); }
  std::unique_ptr<Solver> solver(const Part& p) override { return test::host().solver(p); }
  std::shared_ptr<EquilibriumLayer> layer() override { throw std::logic_error("no layer"); }
  std::shared_ptr<Norm> norm() override { return nullptr; }
  const Description& data() override { return test::host().data(); }
  void warn(std::string_view sentence) override { said += sentence; }
  std::string said;
};

class Graphs : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder); }
  void TearDown() override { fs::remove_all(folder); }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((folder / name).parent_path());
    std::ofstream(folder / name) << text;
  }
  void write_npz(const std::string& name, const std::vector<std::pair<std::string, Tensor>>& arrays) const {
    std::vector<std::pair<std::string, std::string>> entries;
    for (const auto& [key, t] : arrays) entries.emplace_back(key + ".npy", formats::npy_bytes(t));
    fs::create_directories((folder / name).parent_path());
    formats::write_zip(folder / name, entries);
  }
  std::unique_ptr<Dataset> open(const std::string& name, Settings settings = {}) {
    settings.push_back({"path", folder.string()});
    return test::catalogue().create<Dataset>(Kind::dataset, name, settings, host);
  }
  std::string refusal(const std::string& name, const Settings& settings = {}) {
    try {
      open(name, settings);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "not refused";
  }
  static Batch all(const Dataset& data, Split split) { return data.load(split, data.batches(split, 1000, 0).at(0), 0); }

  fs::path folder = fs::temp_directory_path() / ("zstar-graphs-" + std::to_string(::getpid()));
  Listening host;
};

const Tensor mask(std::vector<std::int64_t> rows, std::int64_t n) { return torch::zeros({n}, torch::kBool).index_fill_(0, torch::tensor(rows, torch::kInt64), true); }

TEST_F(Graphs, HeterophilousFilesAreReadAndDamagedOnesRefused) {
  const Tensor masks = torch::stack({mask({0}, 4), mask({1}, 4)}), edges = torch::tensor({{0, 1}, {1, 2}, {2, 3}}, torch::kInt64);
  write_npz("tiny.npz", {{"node_features", torch::ones({4, 2})}, {"node_labels", torch::tensor({0, 1, 2, 0}, torch::kInt64)}, {"edges", edges},
                         {"train_masks", masks}, {"val_masks", masks}, {"test_masks", torch::stack({mask({2, 3}, 4), mask({3}, 4)})}});
  const auto data = open("heterophilous", {{"graph", std::string("tiny")}, {"split", std::int64_t{1}}});

  const Batch batch = all(*data, Split::train);

  EXPECT_EQ(data->describe().at("classes"), 3);
  EXPECT_TRUE(batch.at("mask").equal(mask({1}, 4)));
  EXPECT_TRUE(batch.at("features").equal(torch::full({4, 2}, 0.5f)));
  const Tensor a = torch::sparse_coo_tensor(batch.at("adjacency_indices"), batch.at("adjacency_values"), {4, 4}).to_dense();
  EXPECT_NEAR(a[0][1].item<double>(), 1 / std::sqrt(2.0 * 3.0), 1e-6);  // ε of float32
  EXPECT_TRUE(a.equal(a.t()));
  EXPECT_THAT(refusal("heterophilous", {{"graph", std::string("tiny")}, {"split", std::int64_t{2}}}), HasSubstr("has 2 splits"));
  EXPECT_THAT(refusal("heterophilous", {{"graph", std::string("other")}}), HasSubstr("holds no other.npz"));
  fs::resize_file(folder / "tiny.npz", 200);
  EXPECT_THAT(refusal("heterophilous", {{"graph", std::string("tiny")}}), HasSubstr("is no sound zip archive"));
}

TEST_F(Graphs, GeomGcnSaysThatCornellIsTexas) {
  const std::string nodes = "node_id\tfeature\tlabel\n0\t1,0\t0\n1\t0,1\t1\n2\t1,1\t1\n";
  for (const char* name : {"cornell", "texas"}) {
    write(std::string("new_data/") + name + "/out1_node_feature_label.txt", nodes);
    write(std::string("new_data/") + name + "/out1_graph_edges.txt", "node_id\tnode_id\n0\t1\n1\t2\n");
    write_npz(std::string("splits/") + name + "_split_0.6_0.2_0.npz", {{"train_mask", mask({0}, 3)}, {"val_mask", mask({1}, 3)}, {"test_mask", mask({2}, 3)}});
  }
  folder /= "new_data";

  const auto data = open("geom_gcn", {{"graph", std::string("cornell")}});

  EXPECT_THAT(host.said, HasSubstr("is that of texas, byte for byte"));
  EXPECT_TRUE(all(*data, Split::test).at("mask").equal(mask({2}, 3)));
  write("texas/out1_node_feature_label.txt", "node_id\tfeature\tlabel\n0\t1,0\t0\n0\t0,1\t1\n");
  EXPECT_THAT(refusal("geom_gcn", {{"graph", std::string("texas")}}), HasSubstr("node id 0 twice"));
  folder = folder.parent_path();
}

/// A matrix of scipy and a table of numpy as Python 2 pickles them.
std::string array(const std::string& type, const std::string& data, std::vector<std::int64_t> shape) {
  formats::PickleWriter w;
  w.global("numpy.core.multiarray", "_reconstruct").raw("(").global("numpy", "ndarray").tuple({0}).text("b").raw("tR(").integer(1).tuple(shape);
  w.global("numpy", "dtype").raw("(").text(type).integer(0).integer(1).raw("tR(").integer(3).text("<").raw("NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff").integer(0).raw("tb\x89").text(data).raw("tb");
  return w.bytes();
}
template <class T>
std::string raw(const std::vector<T>& v) {
  return {reinterpret_cast<const char*>(v.data()), v.size() * sizeof(T)};
}
std::string csr(const std::vector<float>& values, const std::vector<std::int32_t>& columns, const std::vector<std::int32_t>& starts, std::int64_t width) {
  formats::PickleWriter w;
  const auto n = static_cast<std::int64_t>(values.size());
  w.raw("\x80\x02").global("scipy.sparse.csr", "csr_matrix").raw(")\x81}(").text("_shape").tuple({static_cast<std::int64_t>(starts.size()) - 1, width});
  w.text("data").raw(array("f4", raw(values), {n})).text("indices").raw(array("i4", raw(columns), {n})).text("indptr").raw(array("i4", raw(starts), {static_cast<std::int64_t>(starts.size())}));
  return w.raw("ub.").bytes();
}

TEST_F(Graphs, PlanetoidFillsMissingTestNodesWithZerosAndSaysSo) {
  const auto labels = [](const std::vector<std::int32_t>& v, std::int64_t n) { return "\x80\x02" + array("i4", raw(v), {n, 2}) + "."; };
  write("ind.cora.x", csr({1}, {0}, {0, 1}, 3));
  write("ind.cora.allx", csr({1, 2}, {0, 2}, {0, 1, 2}, 3));
  write("ind.cora.tx", csr({5, 7}, {1, 1}, {0, 1, 2}, 3));
  write("ind.cora.y", labels({0, 1}, 1));
  write("ind.cora.ally", labels({0, 1, 1, 0}, 2));
  write("ind.cora.ty", labels({1, 0, 0, 1}, 2));
  write("ind.cora.test.index", "4\n2\n");
  formats::PickleWriter graph;
  graph.raw("\x80\x02").global("collections", "defaultdict").global("__builtin__", "list").raw("\x85R(").integer(0).raw("]").integer(1).raw("a").integer(4).raw("](").integer(0).integer(2).raw("eu.");
  write("ind.cora.graph", graph.bytes());
  write_npz("splits/cora_split_0.6_0.2_0.npz", {{"train_mask", mask({0}, 5)}, {"val_mask", mask({1}, 5)}, {"test_mask", mask({2, 4}, 5)}});

  const auto data = open("planetoid", {{"protocol", std::string("geom_gcn")}, {"splits", (folder / "splits").string()}, {"row_norm", false}});

  const Batch batch = all(*data, Split::test);
  EXPECT_TRUE(batch.at("features").equal(torch::tensor({{1.f, 0.f, 0.f}, {0.f, 0.f, 2.f}, {0.f, 7.f, 0.f}, {0.f, 0.f, 0.f}, {0.f, 5.f, 0.f}})));
  EXPECT_TRUE(batch.at("labels").equal(torch::tensor({1, 0, 1, 0, 0}, torch::kInt64)));
  EXPECT_THAT(host.said, HasSubstr("1 nodes have neither features nor labels"));
  EXPECT_THAT(host.said, HasSubstr("marks 4 of 5 nodes"));
  fs::resize_file(folder / "ind.cora.allx", 100);
  EXPECT_THAT(refusal("planetoid"), HasSubstr("ind.cora.allx is no sound pickle: it is cut short"));
}

TEST_F(Graphs, TuAndGinFormsOfOneSetAgree) {
  write("S/S_graph_indicator.txt", "1\n1\n1\n2\n2\n");
  write("S/S_graph_labels.txt", "-1\n1\n");
  write("S/S_node_labels.txt", "5\n9\n5\n9\n9\n");
  write("S/S_A.txt", "1, 2\n2, 1\n2, 3\n3, 2\n4, 5\n5, 4\n");
  write("G/G.txt", "2\n3 0\n5 1 1\n9 2 0 2\n5 1 1\n2 2\n9 1 1\n9 1 0\n");
  const Settings folds{{"folds", std::int64_t{2}}, {"validation", 0.0}};

  for (const std::int64_t fold : {0, 1}) {
    Settings tu = folds, gin = folds;
    tu.push_back({"graphs", std::string("S")}), gin.push_back({"graphs", std::string("G")});
    tu.push_back({"fold", fold}), gin.push_back({"fold", fold});
    const Batch a = all(*open("tu", tu), Split::test), b = all(*open("gin", gin), Split::test);
    for (const char* name : {"features", "adjacency_indices", "adjacency_values", "labels", "graphs"}) EXPECT_TRUE(a.at(name).equal(b.at(name))) << name;
    EXPECT_EQ(a.ids, b.ids);
  }
  const auto unnamed = test::make<Dataset>(Kind::dataset, "tu", {{"path", (folder / "S").string()}, {"folds", std::int64_t{2}}, {"validation", 0.0}});
  EXPECT_EQ(unnamed->size(Split::train) + unnamed->size(Split::test), 2);
  EXPECT_THAT(refusal("tu"), HasSubstr("holds no NAME_graph_indicator.txt; name the set"));
  write("S/S_A.txt", "1, 2\n2, 4\n");
  EXPECT_THAT(refusal("tu", {{"graphs", std::string("S")}}), HasSubstr("line 2: the edge joins two graphs"));
  write("G/G.txt", "2\n3 0\n5 1 1\n9 2 0 3\n");
  EXPECT_THAT(refusal("gin", {{"graphs", std::string("G")}}), HasSubstr("line 4: the neighbour 3 is none of the graph's 3 nodes"));
}

TEST_F(Graphs, FoldsAreDisjointCoverAllAndHaveEqualSharesOfTheClasses) {
  std::string text = "60\n";
  for (int g = 0; g < 60; ++g) text += "1 " + std::to_string(g % 3 == 0) + "\n0 0\n";
  write("G.txt", text);
  std::set<std::int64_t> tested;

  for (std::int64_t fold = 0; fold < 10; ++fold) {
    const auto data = open("gin", {{"graphs", std::string("G")}, {"fold", fold}});
    const Batch test = all(*data, Split::test), validation = all(*data, Split::validation), train = all(*data, Split::train);
    EXPECT_EQ(test.at("labels").sum().item<std::int64_t>(), 2);
    EXPECT_EQ(test.ids.size() + validation.ids.size() + train.ids.size(), 60u);
    EXPECT_EQ(validation.ids.size(), 6u);  // 54 in ten parts, the first ones one larger
    tested.insert(test.ids.begin(), test.ids.end());
  }

  EXPECT_EQ(tested.size(), 60u);
}

TEST_F(Graphs, PpiIsCutIntoItsGraphs) {
  for (const char* name : {"train", "valid", "test"}) {
    const std::string stem = name;
    write(stem + "_graph.json", R"({"directed": false, "nodes": [], "links": [{"source": 0, "target": 1}, {"source": 2, "target": 2}, {"source": 2, "target": 3}]})");
    write(stem + "_feats.npy", formats::npy_bytes(torch::arange(8, torch::kFloat64).view({4, 2})));
    write(stem + "_labels.npy", formats::npy_bytes(torch::eye(4, torch::kInt64)));
    write(stem + "_graph_id.npy", formats::npy_bytes(torch::tensor({7, 7, 8, 8}, torch::kInt64)));
  }

  const auto data = open("ppi");

  EXPECT_EQ(data->size(Split::train), 2);
  const Batch second = data->load(Split::train, {1}, 0), both = data->load(Split::train, {0, 1}, 0);
  EXPECT_TRUE(second.at("features").equal(torch::tensor({{4.f, 5.f}, {6.f, 7.f}})));
  EXPECT_TRUE(second.at("adjacency_indices").equal(torch::tensor({{0, 1}, {1, 0}}, torch::kInt64)));
  EXPECT_TRUE(both.at("graphs").equal(torch::tensor({0, 0, 1, 1}, torch::kInt64)));
  write("test_graph.json", R"({"links": [{"source": 0, "target": 2}]})");
  EXPECT_THAT(refusal("ppi"), HasSubstr("links between different graphs"));
  write("test_graph.json", R"({"links": [{"source": 0)");
  EXPECT_THAT(refusal("ppi"), HasSubstr("is no JSON graph"));
}

TEST_F(Graphs, AmazonHasNoFeaturesAndItsTestValidates) {
  write("meta.txt", "3 2\n");
  write("adj_list.txt", "0 1\n1 0 2\n2 1\n");
  write("label.txt", "1 0\n1 1\n0 1\n");
  write("train_idx-0.06.txt", "0\n");
  write("test_idx.txt", "1\n2\n");

  const auto data = open("amazon");

  const Batch batch = all(*data, Split::train);
  EXPECT_FALSE(batch.has("features"));
  EXPECT_EQ(data->describe().at("features"), 3);
  EXPECT_TRUE(batch.at("labels").equal(torch::tensor({{1.f, 0.f}, {1.f, 1.f}, {0.f, 1.f}})));
  EXPECT_THAT(host.said, HasSubstr("no validation nodes"));
  write("label.txt", "1 0\n1\n0 1\n");
  EXPECT_THAT(refusal("amazon"), HasSubstr("line 2: one number for each of 2 classes"));
}

}  // namespace
