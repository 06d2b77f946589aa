/// \file Sets of graphs, written by the test in their official forms; damaged ones are refused with a sentence.
#include <set>

#include "graph_files.hpp"
#include "tests/support/scipy.hpp"

namespace {

const Tensor mask(std::vector<std::int64_t> rows, std::int64_t n) { return torch::zeros({n}, torch::kBool).index_fill_(0, torch::tensor(rows, torch::kInt64), true); }

TEST_F(Graphs, HeterophilousFilesAreReadAndDamagedOnesRefused) {
  const Tensor masks = torch::stack({mask({0}, 4), mask({1}, 4)}), edges = torch::tensor({{0, 1}, {1, 2}, {2, 3}}, torch::kInt64);
  write_npz("tiny.npz", {{"node_features", torch::ones({4, 2})}, {"node_labels", torch::tensor({0, 1, 2, 0}, torch::kInt64)}, {"edges", edges},
                         {"train_masks", masks}, {"val_masks", torch::stack({mask({1}, 4), mask({2}, 4)})}, {"test_masks", torch::stack({mask({2, 3}, 4), mask({3}, 4)})}});
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

/// A set of nodes with one fault; each is named, with its place.
TEST_F(Graphs, HeterophilousNumbersThatCannotBeAreRefused) {
  const Tensor features = torch::ones({4, 2}), labels = torch::tensor({0, 1, 1, 0}, torch::kInt64), edges = torch::tensor({{0, 1}, {1, 2}, {2, 3}}, torch::kInt64);
  const auto with = [&](const std::string& name, const Tensor& value) {
    std::vector<std::pair<std::string, Tensor>> arrays{{"node_features", features}, {"node_labels", labels}, {"edges", edges}, {"train_masks", mask({0}, 4).unsqueeze(0)},
                                                       {"val_masks", mask({1}, 4).unsqueeze(0)}, {"test_masks", mask({2, 3}, 4).unsqueeze(0)}};
    for (auto& [key, tensor] : arrays)
      if (key == name) tensor = value;
    write_npz("tiny.npz", arrays);
    return refusal("heterophilous", {{"graph", std::string("tiny")}});
  };

  EXPECT_EQ(with("", {}), "not refused");
  EXPECT_THAT(with("test_masks", mask({1, 2}, 4).unsqueeze(0)), AllOf(HasSubstr("tiny.npz has the node 1 in row 1"), HasSubstr("at most one of those that train, validate and test"), HasSubstr("remedy")));
  EXPECT_THAT(with("train_masks", torch::tensor({{7, 0, 0, 0}}, torch::kInt64)), HasSubstr("has the mark 7 in row 0"));
  EXPECT_THAT(with("edges", torch::tensor({{0., 1.}, {1.5, 2.}})), HasSubstr("has the node of an edge 1.5 in row 1, counted from 0; expected a whole number"));
  EXPECT_THAT(with("edges", torch::tensor({{0, 1}, {2, 4}}, torch::kInt64)), HasSubstr("has the node of an edge 4 in row 1"));
  EXPECT_THAT(with("edges", torch::zeros({0, 2}, torch::kInt64)), HasSubstr("has no edge"));
  Tensor broken = features.clone();
  broken[2][1] = NAN;
  EXPECT_THAT(with("node_features", broken), HasSubstr("has the feature nan in row 2"));
  EXPECT_THAT(with("node_features", torch::ones({0, 2})), HasSubstr("has no node"));
  EXPECT_THAT(with("node_labels", torch::tensor({0., 1., double(NAN), 0.})), HasSubstr("has the label nan in row 2"));
  EXPECT_THAT(with("node_labels", torch::tensor(std::vector<std::int64_t>{0, 1, 1000000000000, 0})), HasSubstr("has the label 1000000000000 in row 2"));
  EXPECT_THAT(with("node_labels", torch::tensor({0, -1, 1, 0}, torch::kInt64)), HasSubstr("has the label -1 in row 1"));
}

TEST_F(Graphs, GeomGcnLinesThatCannotBeAreRefused) {
  const std::string heading = "node_id\tfeature\tlabel\n", nodes = heading + "0\t1,0\t0\n1\t0,1\t1\n2\t1,1\t1\n", edges = "node_id\tnode_id\n0\t1\n1\t2\n";
  write_npz("splits/texas_split_0.6_0.2_0.npz", {{"train_mask", mask({0}, 3)}, {"val_mask", mask({1}, 3)}, {"test_mask", mask({2}, 3)}});
  const auto with = [&](const std::string& node_lines, const std::string& edge_lines, std::int64_t features = 0) {
    write("out1_node_feature_label.txt", node_lines), write("out1_graph_edges.txt", edge_lines);
    return refusal("geom_gcn", {{"graph", std::string("texas")}, {"features", features}});
  };

  EXPECT_EQ(with(nodes, edges), "not refused");
  EXPECT_EQ(with(heading + "0\t4\t0\n1\t0,1\t1\n2\t1\t1\n", edges), "not refused") << "indices";
  EXPECT_THAT(with(heading + "0\t1,0\t0\n1\t0,1,1\t1\n2\t1,1\t1\n", edges), HasSubstr("label.txt line 3: there are 3 features, the first node has 2"));
  EXPECT_THAT(with(heading + "0\t1,0,0\t0\n1\t0,2,0\t1\n2\t1,0,0\t1\n", edges), HasSubstr("line 3: there is the feature 2; expected zeros and ones"));
  EXPECT_THAT(with(nodes.substr(heading.size()), edges), HasSubstr("label.txt line 1: a heading was expected"));
  EXPECT_THAT(with(nodes, edges.substr(16)), HasSubstr("edges.txt line 1: a heading was expected"));
  EXPECT_THAT(with(nodes, ""), HasSubstr("edges.txt is empty"));
  EXPECT_THAT(with(nodes, "node_id\tnode_id\n"), HasSubstr("edges.txt has no edge"));
  EXPECT_THAT(with(nodes, edges + "2\t3\n"), HasSubstr("line 4: two node ids from 0 to 2"));
  EXPECT_THAT(with(heading + "0\t1,0\t0\n1\t0,1\t99999999999\n2\t1,1\t1\n", edges), HasSubstr("has the label 99999999999 in row 1"));
  write_npz("splits/texas_split_0.6_0.2_0.npz", {{"train_mask", mask({0}, 3)}, {"val_mask", mask({0, 1}, 3)}, {"test_mask", mask({2}, 3)}});
  EXPECT_THAT(with(nodes, edges), HasSubstr("_0.npz has the node 0"));
}

TEST_F(Graphs, PlanetoidFillsMissingTestNodesWithZerosAndSaysSo) {
  write("ind.cora.x", test::csr({1}, {0}, {0, 1}, 3));
  write("ind.cora.allx", test::csr({1, 2}, {0, 2}, {0, 1, 2}, 3));
  write("ind.cora.tx", test::csr({5, 7}, {1, 1}, {0, 1, 2}, 3));
  write("ind.cora.y", test::table({0, 1}, 1));
  write("ind.cora.ally", test::table({0, 1, 1, 0}, 2));
  write("ind.cora.ty", test::table({1, 0, 0, 1}, 2));
  write("ind.cora.test.index", "4\n2\n");
  write("ind.cora.graph", test::small_graph());
  write_npz("splits/cora_split_0.6_0.2_0.npz", {{"train_mask", mask({0}, 5)}, {"val_mask", mask({1}, 5)}, {"test_mask", mask({2, 4}, 5)}});

  const auto data = open("planetoid", {{"protocol", std::string("geom_gcn")}, {"splits", (folder / "splits").string()}, {"row_norm", false}});

  const Batch batch = all(*data, Split::test);
  EXPECT_TRUE(batch.at("features").equal(torch::tensor({{1.f, 0.f, 0.f}, {0.f, 0.f, 2.f}, {0.f, 7.f, 0.f}, {0.f, 0.f, 0.f}, {0.f, 5.f, 0.f}})));
  EXPECT_TRUE(batch.at("labels").equal(torch::tensor({1, 0, 1, 0, 0}, torch::kInt64)));
  EXPECT_THAT(host.said, HasSubstr("1 nodes have neither features nor labels"));
  EXPECT_THAT(host.said, HasSubstr("marks 4 of 5 nodes"));
  write("ind.cora.ty", test::table({1, 1, 0, 1}, 2));
  EXPECT_THAT(refusal("planetoid"), HasSubstr("ind.cora.ty has the number of classes 2 in row 0"));
  write("ind.cora.ty", test::table({1, 0}, 1));
  EXPECT_THAT(refusal("planetoid"), HasSubstr("ind.cora.ty has 1 labels for 2 nodes"));
  write("ind.cora.ty", test::table({1, 0, 0, 1}, 2));
  EXPECT_THAT(refusal("planetoid"), HasSubstr("ind.cora.y has 1 labels to train with; with the 500 nodes"));
  write("ind.cora.test.index", "2\n2\n");
  EXPECT_THAT(refusal("planetoid"), HasSubstr("ind.cora.test.index names node 2 twice"));
  write("ind.cora.tx", test::csr({5, NAN}, {1, 1}, {0, 1, 2}, 3));
  EXPECT_THAT(refusal("planetoid"), HasSubstr("ind.cora.tx has the feature nan in row 1"));
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
  for (const char* path : {"S", "S/S_A.txt", ""}) {  // the only set that is there
    const auto unnamed = test::make<Dataset>(Kind::dataset, "tu", {{"path", (folder / path).string()}, {"folds", std::int64_t{2}}, {"validation", 0.0}});
    EXPECT_EQ(unnamed->size(Split::train) + unnamed->size(Split::test), 2);
  }
  write("T/T_graph_indicator.txt", "");
  EXPECT_THAT(refusal("tu"), HasSubstr("holds several: S, T; name one: --set dataset.graphs=S"));
  write("S/S_A.txt", "1, 2\n2, 4\n");
  EXPECT_THAT(refusal("tu", {{"graphs", std::string("S")}}), HasSubstr("line 2: the edge joins two graphs"));
  write("S/S_A.txt", "");
  EXPECT_THAT(refusal("tu", {{"graphs", std::string("S")}, {"folds", std::int64_t{2}}}), HasSubstr("S_A.txt has no edge"));
  write("S/S_A.txt", "1, 2\n2, 1\n");
  EXPECT_THAT(refusal("tu", {{"graphs", std::string("S")}, {"folds", std::int64_t{500}}}), HasSubstr("folds is 500, there are 2 graphs"));
  write("S/S_node_attributes.txt", "1, 2\n1, nan\n");
  EXPECT_THAT(refusal("tu", {{"graphs", std::string("S")}, {"features", std::string("both")}}), HasSubstr("line 2: 'nan' is no finite number"));
  write("G/G.txt", "2\n3 0\n5 1 1\n9 2 0 3\n");
  EXPECT_THAT(refusal("gin", {{"graphs", std::string("G")}}), HasSubstr("line 4: the neighbour 3 is none of the graph's 3 nodes"));
}

/// MUTAG's form: three nodes in a row with bonds of types 3 and 4, twice; one graph trains, the other tests.
TEST_F(Graphs, Z26TheAdjacencyOfEvaluationIsThatOfTrainingUnlessThePublishedOneIsAskedFor) {
  write("S/S_graph_indicator.txt", "1\n1\n1\n2\n2\n2\n"), write("S/S_graph_labels.txt", "-1\n1\n"), write("S/S_edge_labels.txt", "3\n3\n4\n4\n3\n3\n4\n4\n");
  write("S/S_A.txt", "1, 2\n2, 1\n2, 3\n3, 2\n4, 5\n5, 4\n5, 6\n6, 5\n");
  const auto dense = [&](const char* edges, const char* adjacency, Split split) {
    const auto data = open("tu", {{"graphs", std::string("S")}, {"folds", std::int64_t{2}}, {"validation", 0.0}, {"edges", std::string(edges)}, {"adjacency", std::string(adjacency)}});
    const Batch batch = all(*data, split);
    return torch::sparse_coo_tensor(batch.at("adjacency_indices"), batch.at("adjacency_values"), {3, 3}).to_dense();
  };
  const Tensor a = torch::tensor({{0.f, 1.f, 0.f}, {1.f, 0.f, 1.f}, {0.f, 1.f, 0.f}}), types = torch::tensor({{0.f, 0.f, 0.f}, {0.f, 0.f, 1.f}, {0.f, 1.f, 0.f}}), self = torch::eye(3);
  const auto augmented = [&](const Tensor& w) { const Tensor s = w.sum(1).rsqrt(); return s.unsqueeze(1) * w * s; };

  for (const Split split : {Split::train, Split::test}) {
    EXPECT_TRUE(dense("one", "raw", split).equal(a));
    EXPECT_TRUE(dense("one", "augmented", split).allclose(augmented(a + self), 1e-6, 1e-7));
  }
  EXPECT_TRUE(dense("published", "raw", Split::train).equal(types)) << "the first type weighs nothing";
  EXPECT_TRUE(dense("published", "raw", Split::test).equal(2 * a)) << "every edge counts twice";
  EXPECT_TRUE(dense("published", "self_loops", Split::test).equal(2 * a + self)) << "relative to a loop, which counts once";
  EXPECT_TRUE(dense("published", "augmented", Split::train).allclose(augmented(types + self), 1e-6, 1e-7));
  EXPECT_TRUE(dense("published", "augmented", Split::test).allclose(augmented(2 * a + self), 1e-6, 1e-7));
  write("S/S_edge_labels.txt", "3\n3\n");
  EXPECT_THAT(refusal("tu", {{"graphs", std::string("S")}, {"folds", std::int64_t{2}}, {"edges", std::string("published")}}), HasSubstr("S_edge_labels.txt has 2 lines for 8 edges"));
  fs::remove(folder / "S/S_edge_labels.txt");
  EXPECT_TRUE(dense("published", "raw", Split::train).equal(a)) << "without types";
}

TEST_F(Graphs, BlankLinesMayStandAtTheEndAlone) {
  write("G.txt", "2\n1 0\n0 0\n1 1\n0 0\n\n \r\n");
  const Settings folds{{"folds", std::int64_t{2}}, {"validation", 0.0}};
  EXPECT_EQ(refusal("gin", folds), "not refused");
  write("G.txt", "2\n1 0\n\n\n0 0\n1 1\n0 0\n");
  EXPECT_THAT(refusal("gin", folds), HasSubstr("G.txt line 3: it is blank, and others follow; expected blank lines at the end alone"));
  write("meta.txt", "3 2\n"), write("label.txt", "1 0\n1 1\n0 1\n"), write("train_idx-0.06.txt", "0\n"), write("test_idx.txt", "1\n2\n\n");
  write("adj_list.txt", "0 1\n\n1 0 2\n");  // as many lines as nodes, if it counted
  EXPECT_THAT(refusal("amazon"), AllOf(HasSubstr("adj_list.txt line 2: it is blank"), HasSubstr("remedy")));
  write("adj_list.txt", "0 1\n1 0 2\n2 1\n\n");
  EXPECT_EQ(refusal("amazon"), "not refused");
}

TEST_F(Graphs, ThatAllAreOfOneClassIsSaid) {
  write("G.txt", "2\n1 4\n0 0\n1 4\n0 0\n");
  open("gin", {{"folds", std::int64_t{2}}, {"validation", 0.0}});
  EXPECT_THAT(host.said, HasSubstr("G.txt: all 2 graphs are of one class: whatever is learnt, every answer is right"));
  host.said.clear();
  write("G.txt", "2\n1 4\n0 0\n1 5\n0 0\n");
  open("gin", {{"folds", std::int64_t{2}}, {"validation", 0.0}});
  EXPECT_EQ(host.said, "");
  write_npz("tiny.npz", {{"node_features", torch::ones({3, 2})}, {"node_labels", torch::ones({3}, torch::kInt64)}, {"edges", torch::tensor({{0, 1}, {1, 2}}, torch::kInt64)},
                         {"train_masks", mask({0}, 3).unsqueeze(0)}, {"val_masks", mask({1}, 3).unsqueeze(0)}, {"test_masks", mask({2}, 3).unsqueeze(0)}});
  open("heterophilous", {{"graph", std::string("tiny")}});
  EXPECT_THAT(host.said, HasSubstr("tiny.npz: all 3 nodes are of one class"));
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
  write("test_idx.txt", "0\n1\n");
  EXPECT_THAT(refusal("amazon"), HasSubstr("test_idx.txt has the node 0 in row 0, counted from 0; expected none that trains, too"));
  for (const char* wrong : {"2", "nan"}) {
    write("label.txt", std::string("1 0\n1 ") + wrong + "\n0 1\n");
    EXPECT_THAT(refusal("amazon"), AllOf(HasSubstr("label.txt line 2:"), HasSubstr(wrong)));
  }
  write("label.txt", "1 0\n1\n0 1\n");
  EXPECT_THAT(refusal("amazon"), HasSubstr("line 2: one number for each of 2 classes"));
}

}  // namespace
