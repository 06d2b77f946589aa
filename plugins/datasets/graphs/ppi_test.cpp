/// \file The protein graphs, written by the test in both of their forms; damaged files are refused with a sentence.
#include "graph_files.hpp"

namespace {

/// Ten nodes in GraphSAGE's form: training graphs {0, 1} and {2, 3, 4}, whose node 4 has no link, validation {5, 6}, test {7, 8, 9}, whose node 7 has none.
struct PrefixForm {
  std::string graph = R"({"directed": false, "multigraph": false, "graph": {"name": "d"}, "nodes": [)", id_map = "{", class_map = "{";
  Tensor features = torch::arange(20, torch::kFloat64).view({10, 2});

  PrefixForm() {
    for (std::int64_t i = 0; i < 10; ++i) {  // ids, positions and rows differ
      const std::string comma = i ? ", " : "", id = std::to_string(100 + i);
      graph += comma + R"({"id": )" + id + R"(, "feature": [1, 2], "label": [0], "val": )" + (i == 5 || i == 6 ? "true" : "false") + R"(, "test": )" + (i > 6 ? "true" : "false") + "}";
      id_map += comma + "\"" + id + "\": " + std::to_string(9 - i);
      class_map += comma + "\"" + id + "\": [" + std::to_string(i % 2) + ", 1, " + std::to_string(i / 5) + "]";
    }
    graph += R"(], "links": [{"source": 0, "target": 1, "train_removed": false}, {"source": 3, "target": 2}, {"source": 2, "target": 2}, {"source": 4, "target": 5}, {"source": 5, "target": 6},
                             {"source": 1, "target": 9}, {"source": 9, "target": 8}]})";
    id_map += "}", class_map += "}";
  }
};

class Ppi : public Graphs {
 protected:
  void write_prefix(const std::string& prefix, const PrefixForm& f) const {
    write(prefix + "-G.json", f.graph), write(prefix + "-id_map.json", f.id_map), write(prefix + "-class_map.json", f.class_map), write(prefix + "-feats.npy", formats::npy_bytes(f.features));
  }
  /// The same graphs in files of each split.
  void write_splits(const std::string& to) const {
    const Tensor features = PrefixForm().features.flip(0), at = torch::arange(10), labels = torch::stack({at.remainder(2), torch::ones_like(at), at.ge(5).to(torch::kInt64)}, 1);
    const auto one = [&](const std::string& split, std::int64_t from, std::int64_t to_, const std::string& links, const std::vector<std::int64_t>& graphs) {
      write(to + "/" + split + "_graph.json", R"({"links": [)" + links + "]}"), write(to + "/" + split + "_feats.npy", formats::npy_bytes(features.slice(0, from, to_).contiguous()));
      write(to + "/" + split + "_labels.npy", formats::npy_bytes(labels.slice(0, from, to_).contiguous())), write(to + "/" + split + "_graph_id.npy", formats::npy_bytes(torch::tensor(graphs, torch::kInt64)));
    };
    one("train", 0, 5, R"({"source": 0, "target": 1}, {"source": 2, "target": 2}, {"source": 2, "target": 3})", {1, 1, 2, 2, 2});
    one("valid", 5, 7, R"({"source": 0, "target": 1})", {3, 3});
    one("test", 7, 10, R"({"source": 1, "target": 2})", {4, 4, 4});
  }
  std::unique_ptr<Dataset> at(const fs::path& path) { return test::make<Dataset>(Kind::dataset, "ppi", {{"path", path.string()}}); }
  std::string with(const PrefixForm& f) {
    write_prefix("ppi", f);
    return refusal("ppi");
  }
};

/// The text with the first of a piece in it replaced.
std::string replaced(std::string text, const std::string& piece, const std::string& by) { return text.replace(text.find(piece), piece.size(), by); }

TEST_F(Ppi, FilesOfEachSplitAreCutIntoTheirGraphs) {
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
  const auto with = [&](const std::string& name, const Tensor& value) {
    const fs::path file = folder / name;
    fs::rename(file, folder / "kept");
    write(name, formats::npy_bytes(value));
    const std::string said = refusal("ppi");
    fs::rename(folder / "kept", file);
    return said;
  };
  EXPECT_EQ(with("test_graph_id.npy", torch::tensor(std::vector<std::int64_t>{1, 1, 1000000000000, 1000000000000})), "not refused") << "ids of any size";
  EXPECT_THAT(with("test_graph_id.npy", torch::tensor({1., 1., 1.5, 2.})), HasSubstr("test_graph_id.npy has the graph id 1.5 in row 2"));
  EXPECT_THAT(with("test_feats.npy", torch::zeros({4, 3})), HasSubstr("test_feats.npy has 3 numbers for each node, train_feats.npy has 2"));
  EXPECT_THAT(with("valid_labels.npy", torch::zeros({4, 2})), HasSubstr("valid_labels.npy has 2 numbers for each node, train_labels.npy has 4"));
  EXPECT_THAT(with("test_labels.npy", torch::eye(4) * 7), HasSubstr("test_labels.npy has the label 7 in row 0, counted from 0; expected 0 or 1"));
  EXPECT_THAT(with("test_feats.npy", torch::full({4, 2}, NAN)), HasSubstr("test_feats.npy has the feature nan in row 0"));
  write("test_graph.json", R"({"links": []})");
  EXPECT_THAT(refusal("ppi"), HasSubstr("test_graph.json has no link"));
  write("test_graph.json", R"({"links": [{"source": 1, "target": 1}]})");
  EXPECT_THAT(refusal("ppi"), HasSubstr("test_graph.json has no link between two nodes of the split 'test'")) << "a loop is none";
  write("test_graph.json", R"({"links": [{"source": 0, "target": 1.5}]})");
  EXPECT_THAT(refusal("ppi"), HasSubstr("test_graph.json has 1.5 where a whole number was expected"));
  write("test_graph.json", R"({"links": [{"source": 0, "target": 2}]})");
  EXPECT_THAT(refusal("ppi"), HasSubstr("links between different graphs"));
  write("test_graph.json", R"({"links": [{"source": 0)");
  EXPECT_THAT(refusal("ppi"), HasSubstr("is no JSON graph"));
}

TEST_F(Ppi, BothFormsOfOneSetAgree) {
  write_prefix("a/ppi", {}), write_splits("b");

  const auto prefix = at(folder / "a"), splits = at(folder / "b");

  EXPECT_EQ(prefix->describe().at("features"), 2);
  EXPECT_EQ(prefix->describe().at("classes"), 3);
  const std::int64_t sizes[] = {2, 1, 1};
  for (const Split split : {Split::train, Split::validation, Split::test}) {
    EXPECT_EQ(prefix->size(split), sizes[static_cast<int>(split)]);
    const Batch a = all(*prefix, split), b = all(*splits, split);
    ASSERT_EQ(a.tensors.size(), b.tensors.size());
    for (const auto& [name, t] : b.tensors) EXPECT_TRUE(a.at(name).equal(t)) << name << a.at(name);
    EXPECT_EQ(a.ids, b.ids);
  }
  const Batch second = prefix->load(Split::train, {1}, 0);
  EXPECT_TRUE(second.at("adjacency_indices").equal(torch::tensor({{0, 1}, {1, 0}}, torch::kInt64))) << "neither the loop nor the link to a node that validates";
  EXPECT_TRUE(second.at("features").equal(torch::tensor({{14.f, 15.f}, {12.f, 13.f}, {10.f, 11.f}})));
}

TEST_F(Ppi, IdsMayBeTextAndFilesCompressed) {
  PrefixForm f;
  write_prefix("a/ppi", f);
  for (int i = 0; i < 10; ++i) f.graph = replaced(f.graph, "\"id\": 10" + std::to_string(i), "\"id\": \"10" + std::to_string(i) + "\"");
  write_gz("ppi-G.json.gz", f.graph), write_gz("ppi-id_map.json.gz", f.id_map), write_gz("ppi-class_map.json.gz", f.class_map), write_gz("ppi-feats.npy.gz", formats::npy_bytes(f.features));
  const auto plain = at(folder / "a"), packed = at(folder);
  for (const auto& [name, t] : all(*plain, Split::train).tensors) EXPECT_TRUE(all(*packed, Split::train).at(name).equal(t)) << name;
}

TEST_F(Ppi, AGraphIsAStretchOfNodesThatNoLinkSpans) {
  PrefixForm f;
  f.graph = f.graph.substr(0, f.graph.find("\"links\"")) + R"("links": [{"source": 0, "target": 2}, {"source": 3, "target": 1}, {"source": 5, "target": 6}, {"source": 7, "target": 8}, {"source": 8, "target": 9}]})";
  write_prefix("ppi", f);

  const auto data = open("ppi");

  EXPECT_EQ(data->size(Split::train), 1);
  EXPECT_EQ(data->load(Split::train, {0}, 0).at("features").size(0), 5) << "0–2 and 1–3 overlap, 4 has no link";
  EXPECT_EQ(data->size(Split::test), 1);
}

TEST_F(Ppi, TheFileNamedSaysWhichOfSeveralSets) {
  PrefixForm other;
  other.features = torch::ones({10, 7});
  write_prefix("ppi", {}), write_prefix("toy-ppi", other);
  EXPECT_THAT(refusal("ppi"), AllOf(HasSubstr("holds several: ppi-G.json, toy-ppi-G.json"), HasSubstr("--set dataset.path=")));
  for (const char* file : {"toy-ppi-G.json", "toy-ppi-feats.npy", "toy-ppi-id_map.json", "toy-ppi-class_map.json"}) EXPECT_EQ(at(folder / file)->describe().at("features"), 7) << file;
  EXPECT_EQ(at(folder / "ppi-G.json")->describe().at("features"), 2);
  write_splits(".");
  EXPECT_THAT(refusal("ppi"), HasSubstr("holds several: train_graph.json, ppi-G.json, toy-ppi-G.json"));
  EXPECT_EQ(at(folder / "test_feats.npy")->describe().at("features"), 2);
  EXPECT_EQ(at(folder / "toy-ppi-G.json")->describe().at("features"), 7);
  fs::remove_all(folder), fs::create_directories(folder);
  EXPECT_THAT(refusal("ppi"), HasSubstr("holds neither train_graph.json nor PREFIX-G.json (or .gz)"));
}

TEST_F(Ppi, DamagedFilesOfGraphSageAreRefused) {
  const PrefixForm good;
  const auto graph = [&](const std::string& piece, const std::string& by) { PrefixForm f; f.graph = replaced(f.graph, piece, by); return with(f); };
  const auto rows = [&](const std::string& piece, const std::string& by) { PrefixForm f; f.id_map = replaced(f.id_map, piece, by); return with(f); };
  const auto labels = [&](const std::string& piece, const std::string& by) { PrefixForm f; f.class_map = replaced(f.class_map, piece, by); return with(f); };
  const auto features = [&](const Tensor& t) { PrefixForm f; f.features = t; return with(f); };

  EXPECT_EQ(with(good), "not refused");
  EXPECT_THAT(graph("\"target\": 9", "\"target\": 10"), AllOf(HasSubstr("ppi-G.json has a link to node 10 of 10 nodes"), HasSubstr("remedy")));
  EXPECT_THAT(graph("\"target\": 9", "\"target\": -1"), HasSubstr("ppi-G.json has a link to node -1"));
  EXPECT_THAT(graph("\"target\": 9", "\"target\": 1e300"), HasSubstr("ppi-G.json has 1e+300 where a whole number was expected"));
  EXPECT_THAT(graph("\"target\": 9", "\"goal\": 9"), HasSubstr("ppi-G.json is no JSON graph with 'nodes' of 'id', 'val' and 'test' and 'links'"));
  EXPECT_THAT(graph("\"val\"", "\"value\""), HasSubstr("ppi-G.json is no JSON graph with 'nodes'"));
  EXPECT_THAT(graph("\"nodes\"", "\"vertices\""), HasSubstr("ppi-G.json has a link to node 0 of 0 nodes"));
  EXPECT_THAT(graph("\"nodes\": [", "\"nodes\": [3, "), HasSubstr("ppi-G.json is no JSON graph with 'nodes'"));
  EXPECT_THAT(graph("\"links\": [", "\"links\": [[0, 1], "), HasSubstr("ppi-G.json is no JSON graph with 'nodes'"));
  EXPECT_THAT(graph("\"links\"", "\"edges\""), HasSubstr("ppi-G.json is no JSON graph with 'nodes'"));
  EXPECT_THAT(graph("\"id\": 100", "\"id\": [100]"), HasSubstr("ppi-G.json has [100] where a whole number was expected"));
  EXPECT_THAT(graph("\"id\": 103", "\"id\": 203"), HasSubstr("ppi-id_map.json lacks the node '203' of ppi-G.json"));
  EXPECT_THAT(graph("\"id\": 103", "\"id\": 102"), HasSubstr("ppi-id_map.json leads two nodes to row 7, the second is '102'"));
  EXPECT_THAT(graph("\"val\": true, \"test\": false", "\"val\": true, \"test\": true"), HasSubstr("ppi-G.json has the node 5 in row 5, counted from 0; expected each in at most one"));
  EXPECT_THAT(graph("\"val\": false", "\"val\": 7"), HasSubstr("ppi-G.json has the mark 7 in row 0"));
  EXPECT_THAT(graph("\"source\": 9, \"target\": 8", "\"source\": 9, \"target\": 0"), HasSubstr("ppi-G.json has no link between two nodes of the split 'test'"));
  PrefixForm empty;
  empty.graph = R"({"nodes": [], "links": []})";
  EXPECT_THAT(with(empty), HasSubstr("ppi-G.json has no node"));
  empty.graph = good.graph.substr(0, 300);
  EXPECT_THAT(with(empty), AllOf(HasSubstr("ppi-G.json is no JSON graph"), HasSubstr("or is cut short")));
  EXPECT_THAT(rows("\"104\": 5", "\"104\": 10"), HasSubstr("ppi-id_map.json leads the node '104' to row 10 of the 10 of ppi-feats.npy"));
  EXPECT_THAT(rows("\"104\": 5", "\"104\": 6"), HasSubstr("ppi-id_map.json leads two nodes to row 6, the second is '104'"));
  EXPECT_THAT(rows("\"104\": 5", "\"104\": \"5\""), HasSubstr("ppi-id_map.json has \"5\" where a whole number was expected"));
  EXPECT_THAT(rows("{", "[{"), HasSubstr("ppi-id_map.json is no JSON object of rows by nodes, or is cut short"));
  EXPECT_THAT(labels("\"104\"", "\"-104\""), HasSubstr("ppi-class_map.json lacks the node '104' of ppi-G.json"));
  EXPECT_THAT(labels("\"104\": [0, 1, 0]", "\"104\": [0, 1]"), HasSubstr("ppi-class_map.json gives the node '104' 2 labels, the first node has 3"));
  EXPECT_THAT(labels("\"104\": [0, 1, 0]", "\"104\": 41"), HasSubstr("ppi-class_map.json gives the node '104' no list of labels; ppi reads several labels for each node, zeros and ones, not the number of one class"));
  EXPECT_THAT(labels("\"104\": [0, 1, 0]", "\"104\": [0, 7, 0]"), HasSubstr("ppi-class_map.json gives the node '104' the label 7; expected 0 or 1"));
  EXPECT_THAT(labels("\"104\": [0, 1, 0]", "\"104\": [0, \"1\", 0]"), HasSubstr("gives the node '104' the label \"1\"; expected 0 or 1"));
  EXPECT_THAT(labels("{", "[{"), HasSubstr("ppi-class_map.json is no JSON object of labels by nodes, or is cut short"));
  EXPECT_THAT(features(torch::full({10, 2}, NAN)), HasSubstr("ppi-feats.npy has the feature nan in row 0"));
  EXPECT_THAT(features(torch::zeros({10})), HasSubstr("ppi-feats.npy holds no table of features"));
  EXPECT_THAT(features(torch::zeros({4, 2})), HasSubstr("ppi-id_map.json leads the node '100' to row 9 of the 4 of ppi-feats.npy"));
  write_prefix("ppi", good), fs::remove(folder / "ppi-class_map.json");
  EXPECT_THAT(refusal("ppi"), HasSubstr("holds no ppi-class_map.json (or .gz)"));
}

}  // namespace
