/// \file What the program says of data and of what a model predicts for them, on small sets in their official forms.
#include <algorithm>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/process.hpp"
#include "zstar/formats/torch_file.hpp"

namespace {

namespace fs = std::filesystem;
using namespace zstar;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

test::Finished program(const std::string& words) { return test::shell("cd " ZSTAR_SOURCE_DIR " && OMP_NUM_THREADS=1 timeout 100 " ZSTAR_BINARY_DIR "/bin/zstar " + words); }

/// The answer, which must have that exit status.
std::string said(const std::string& words, int status = 0) {
  const auto got = program(words);
  EXPECT_EQ(got.status, status) << words << '\n' << got.text;
  return got.text;
}

/// A folder with sets of each form.
struct Data : ::testing::Test {
  const test::TemporaryFolder folder;
  std::string at(const std::string& name) const { return (folder.path / name).string(); }

  /// Twelve graphs of two nodes in TU's form, with two classes.
  void write_graphs(const std::string& to, const std::string& name) const {
    std::string edges, of_node, labels, tags;
    for (int g = 0; g < 12; ++g) {
      const std::string a = std::to_string(2 * g + 1), b = std::to_string(2 * g + 2), graph = std::to_string(g + 1) + "\n";
      edges += a + ", " + b + "\n" + b + ", " + a + "\n", of_node += graph + graph, labels += g % 2 ? "1\n" : "-1\n", tags += g % 2 ? "0\n1\n" : "0\n0\n";
    }
    for (const auto& [part, text] : {std::pair("_A", edges), std::pair("_graph_indicator", of_node), std::pair("_graph_labels", labels), std::pair("_node_labels", tags)})
      folder.write(to + "/" + name + part + ".txt", text);
  }
  /// Six nodes in a ring in the form of the Amazon graph; 4 and 2 test.
  void write_nodes(const std::string& to) const {
    folder.write(to + "/meta.txt", "6 2\n"), folder.write(to + "/label.txt", "1 0\n0 1\n1 0\n0 1\n1 0\n0 1\n");
    folder.write(to + "/adj_list.txt", "2 1 5\n2 0 2\n2 1 3\n2 2 4\n2 3 5\n2 0 4\n");
    folder.write(to + "/train_idx-0.06.txt", "0\n1\n3\n"), folder.write(to + "/test_idx.txt", "4\n2\n");
  }
  /// The run folder of a few steps.
  std::string run(const std::string& experiment, const std::string& more) const {
    said("run experiments/" + experiment + ".toml --smoke -s experiment.runs=" + at("runs") + " " + more);
    return at("runs/" + experiment + "/latest");
  }
};

TEST_F(Data, SettingsAreCheckedAsThoseOfAnExperiment) {
  folder.write("input.txt", "to be or not to be\n");
  write_graphs("tu", "MUTAG");
  EXPECT_THAT(said("data show " + at("input.txt") + " --as text -s segment=0", 2), AllOf(HasSubstr("option 'segment'"), HasSubstr("expected: integer in [1, ")));
  EXPECT_THAT(said("data show " + at("tu") + " --as tu -s fold=-3", 2), HasSubstr("option 'fold'"));
  EXPECT_THAT(said("data show " + at("tu") + " --as tu -s dataset.fold=three", 2), HasSubstr("option 'fold' is text"));
  EXPECT_THAT(said("data show " + at("tu") + " --as tu -s folds=3 -s fold=5", 2), HasSubstr("option 'fold'"));
  EXPECT_THAT(said("data show " + at("tu") + " --as tu -s flod=3", 2), AllOf(HasSubstr("unknown option 'flod' of dataset 'tu'"), HasSubstr("did you mean: 'fold'")));
  EXPECT_THAT(said("data show " + at("tu") + " -s segmnt=3", 2), AllOf(HasSubstr("has the option 'segmnt'"), HasSubstr("did you mean: 'segment'")));
  EXPECT_THAT(said("data show " + at("tu") + " -s segment", 2), HasSubstr("'segment' is no setting"));
  EXPECT_THAT(said("data show " + at("tu") + " --as planetiod", 2), AllOf(HasSubstr("no data set that reads files is called 'planetiod'"), HasSubstr("did you mean: 'planetoid'")));
}

TEST_F(Data, AFileOrFolderIsDescribedByTheDataSetsThatUnderstandIt) {
  folder.write("tinyshakespeare/input.txt", "to be or not to be\n");
  write_graphs("tu/MUTAG", "MUTAG"), write_graphs("tu/PTC_MR", "PTC_MR"), write_nodes("amazon");
  std::string graphs = "20\n";
  for (int g = 0; g < 10; ++g) graphs += "2 0\n0 1 1\n1 1 0\n2 1\n0 1 1\n0 1 0\n";
  folder.write("gin/PTC/PTC.txt", graphs);
  for (const char* name : {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"}) folder.write(std::string("cifar/") + name, std::string(3073 * 2, '\1'));
  for (const char* sort : {"train", "t10k"}) {
    folder.write(std::string("mnist/") + sort + "-images-idx3-ubyte", std::string("\0\0\10\3\0\0\0\2\0\0\0\1\0\0\0\2", 16) + std::string(4, '\7'));
    folder.write(std::string("mnist/") + sort + "-labels-idx1-ubyte", std::string("\0\0\10\1\0\0\0\2", 8) + std::string("\0\1", 2));
  }
  folder.write("noise.bin", std::string("\xff\0\xfe", 3));
  for (const auto& [path, set] : {std::pair("tinyshakespeare", "text"), std::pair("tinyshakespeare/input.txt", "text"), std::pair("tu", "tu"), std::pair("tu/PTC_MR", "tu"),
                                  std::pair("tu/MUTAG/MUTAG_A.txt", "tu"), std::pair("gin", "gin"), std::pair("gin/PTC", "gin"), std::pair("gin/PTC/PTC.txt", "gin"),
                                  std::pair("amazon/adj_list.txt", "amazon"), std::pair("cifar/data_batch_1.bin", "cifar10"), std::pair("mnist/t10k-labels-idx1-ubyte", "idx_images")})
    EXPECT_THAT(said("data show " + at(path)), HasSubstr(std::string("data set ") + set + ":")) << path;
  EXPECT_THAT(said("data show " + at("tu")), HasSubstr("holds several: MUTAG, PTC_MR; this is MUTAG"));
  EXPECT_THAT(said("data show " + at("noise.bin"), 1), AllOf(HasSubstr("no data set understands"), HasSubstr("  arrays: "), HasSubstr("  text: "), HasSubstr("byte 0 begins no character")));
}

TEST_F(Data, ASampleThatCannotBeReadIsTheErrorOfItsDataSetAlone) {
  folder.write("imgs/cat/a.png", "no picture"), folder.write("imgs/dog/b.png", "no picture");
  const std::string text = said("data show " + at("imgs"), 1);
  EXPECT_THAT(text, StartsWith("zstar: error: data set image_folder: " + at("imgs/cat/a.png") + " is neither PNG nor JPEG\n  remedy: fetch the file again"));
  EXPECT_THAT(text, AllOf(Not(HasSubstr("first batch")), Not(HasSubstr("no data set understands"))));
}

TEST_F(Data, OfADataSetThatIsNamedTheErrorIsItsOwn) {
  write_graphs("tu", "MUTAG");
  folder.write("tu/MUTAG_A.txt", "1, 2\n2, one\n");
  const std::string text = said("data show " + at("tu") + " --as tu", 1);
  EXPECT_THAT(text, AllOf(StartsWith("zstar: error: data set tu: " + at("tu/MUTAG_A.txt") + " line 2: "), HasSubstr("\n  remedy: ")));
  EXPECT_THAT(text, AllOf(Not(HasSubstr("no data set understands")), Not(HasSubstr("planetoid"))));
  folder.write("other.txt", "a\n");
  EXPECT_THAT(said("data show " + at("other.txt") + " --as amazon", 2), HasSubstr("\n  expected: folder of adj_list.txt")) << "the words of the option, not that it is a text";
}

TEST_F(Data, OfAFileOfArraysTheDataSetsThatReadItAreNamed) {
  const auto bytes = [](const torch::Tensor& t) { return formats::npy_bytes(t); };
  const auto mask = [&](std::int64_t from, std::int64_t to) { return bytes(((torch::arange(4) >= from) & (torch::arange(4) < to)).unsqueeze(0)); };
  formats::write_zip(folder.path / "graph.npz", {{"node_features.npy", bytes(torch::ones({4, 2}))}, {"node_labels.npy", bytes(torch::arange(4) % 2)},
                                                 {"edges.npy", bytes(torch::arange(6).view({2, 3}).t().contiguous() % 4)}, {"train_masks.npy", mask(0, 2)},
                                                 {"val_masks.npy", mask(2, 3)}, {"test_masks.npy", mask(3, 4)}});
  EXPECT_THAT(said("data show " + at("graph.npz")), AllOf(HasSubstr(": 6 tensors\n"), HasSubstr("data set heterophilous reads it: --as heterophilous")));
  EXPECT_THAT(said("data show " + at("graph.npz") + " --key a", 1), HasSubstr("in which there is no key 'a'"));
}

TEST_F(Data, WeightsInANestedDictAreNamedByTheirKeyAndByAFileToStartFrom) {
  formats::PickleWriter w;
  w.raw("\x80\x02}(").text("net").raw("}(").text("w").global("torch._utils", "_rebuild_tensor_v2").raw("((").text("storage").global("torch", "FloatStorage");
  w.text("0").text("cpu").integer(1).raw("tQ").integer(0).tuple({1}).tuple({1}).raw("\x89NtRuu.");
  formats::write_zip(folder.path / "w.pth", {{"a/data.pkl", w.bytes()}, {"a/data/0", std::string(4, '\0')}});
  EXPECT_THAT(said("eval experiments/quickstart.toml --weights " + at("w.pth"), 1), HasSubstr("\n  remedy: name a dict that holds tensors: --key net\n"));
  EXPECT_THAT(said("run experiments/quickstart.toml --smoke -s experiment.runs=" + at("runs") + " -s train.weights=" + at("w.pth"), 1),
              HasSubstr(": --key net, with which 'zstar export FILE --weights " + at("w.pth") + " --output w.safetensors' makes a file for train.weights"));
}

TEST(Predict, WordsThatContradictOrAreNoNumbersAreRefused) {
  const std::string words = "predict --checkpoint runs --prompt A ";
  EXPECT_THAT(said(words + "--input a.png", 2), HasSubstr("both --prompt and --input were given"));
  EXPECT_THAT(said(words + "--key model", 2), HasSubstr("--key was given without --weights"));
  EXPECT_THAT(said("predict --checkpoint runs --prompt ''", 2), HasSubstr("--prompt is empty"));
  EXPECT_THAT(said(words + "--temperature nan", 2), HasSubstr("--temperature is nan\n  expected: a finite number of at least 0"));
  EXPECT_THAT(said(words + "--temperature=-1", 2), HasSubstr("--temperature is -1"));
  EXPECT_THAT(said(words + "--tokens=-5", 2), HasSubstr("--tokens is -5\n  expected: a count of at least 0"));
}

TEST_F(Data, PredictionsOfGraphsHaveTheNumbersOfTheGraphs) {
  write_graphs("tu", "MUTAG");
  const std::string run = this->run("ignn_mutag", "-s dataset.folds=4 -s eval.batch_size=2 -s dataset.path=" + at("tu"));
  const std::string csv = said("predict --checkpoint " + run);
  EXPECT_THAT(csv, StartsWith("name,likeliest,0,1\n"));
  std::set<int> graphs;
  std::istringstream lines(csv);
  std::string line;
  for (std::getline(lines, line); std::getline(lines, line);) graphs.insert(std::stoi(line));
  EXPECT_EQ(graphs.size(), 3u) << csv;  // a quarter of twelve
  EXPECT_NE(graphs, (std::set<int>{0, 1, 2})) << "places in the split, not numbers of graphs";
  EXPECT_THAT(said("predict --checkpoint " + run + " --input " + at("tu"), 1), AllOf(HasSubstr("reads no inputs beside its own files"), HasSubstr("--set dataset.path=FOLDER")));
  EXPECT_THAT(said("predict --checkpoint " + run + " --prompt A", 1), HasSubstr("a prompt cannot be continued\n  remedy: leave --prompt out: the test split is predicted then\n"));
}

TEST_F(Data, PredictionsOfSignalsAreValues) {
  const std::string settings = "-s dataset.size=4 -s model.width=8", colour = " -s dataset.channels=3";
  for (const char* experiment : {"inr_zone_plate", "inr_siren", "inr_ffn"}) {
    EXPECT_THAT(said("predict --checkpoint " + run(experiment, settings) + " 2>/dev/null"), StartsWith("name,value\n0,")) << experiment;
    EXPECT_THAT(said("predict --checkpoint " + run(experiment, settings + colour) + " 2>/dev/null"), StartsWith("name,red,green,blue\n0,")) << experiment;
  }
}

/// The images of the test split that a batch of one does not begin with.
TEST_F(Data, EveryImageOfASplitCanBeInverted) {
  const std::string pixels(8 * 8, '\7'), others = pixels.substr(1) + '\xc8';
  for (const char* sort : {"train", "t10k"}) {
    folder.write(std::string("mnist/") + sort + "-images-idx3-ubyte", std::string("\0\0\10\3\0\0\0\3\0\0\0\10\0\0\0\10", 16) + pixels + pixels + others);
    folder.write(std::string("mnist/") + sort + "-labels-idx1-ubyte", std::string("\0\0\10\1\0\0\0\3", 8) + std::string("\0\1\0", 3));
  }
  const std::string render = "render " + run("ddim_fashion_mnist", "-s dataset.path=" + at("mnist") + " -s model.width=8 -s model.multipliers=[1] -s model.attention=[] -s train.batch_size=1") +
                             " -s model.steps=4 -s model.samples=1 -s model.invert_steps=1 -s model.invert_index=";
  const auto inverted = [&](const std::string& index) {
    said(render + index + " --out " + at("made" + index));
    return test::read_file(folder.path / ("made" + index) / "inversion.png");
  };
  const std::string first = inverted("0");
  EXPECT_TRUE(inverted("1") == first) << "of equal images";
  EXPECT_FALSE(inverted("2") == first);
  EXPECT_THAT(said(render + "3 --out " + at("none"), 1), HasSubstr("the model starts from sample 3 of the test split, which has 3, numbered from 0\n  remedy: another number in [model]"));
}

TEST_F(Data, PredictionsOfNodesAreThoseThatTest) {
  write_nodes("amazon");
  const std::string csv = said("predict --checkpoint " + run("ignn_amazon", "-s dataset.path=" + at("amazon")) + " 2>/dev/null");
  EXPECT_THAT(csv, AllOf(StartsWith("name,likeliest,0,1\n2,"), HasSubstr("\n4,")));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 3) << csv;
}

TEST_F(Data, ARunKeepsItsVocabulary) {
  const std::string settings = " -s dataset.vocabulary='\"\"' -s model.width=16 -s model.inner=16 -s train.batch_size=2 -s dataset.segment=8";
  folder.write("text.txt", "abababab abababab abababab abababab abababab abababab abababab abababab\n");
  const std::string run = this->run("deq_lm_tinyshakespeare", "-s dataset.path=" + at("text.txt") + settings);
  const std::string before = said("predict --checkpoint " + run + " --prompt ab --tokens 8 --temperature 0"), vocabulary = test::read_file(fs::path(run) / "kept/text.vocabulary");
  EXPECT_THAT(vocabulary, StartsWith("zstar vocabulary, character\na\nb\n"));
  said("run --resume " + run + " --smoke");
  for (const auto& entry : fs::directory_iterator(run)) EXPECT_THAT(entry.path().filename().string(), Not(StartsWith("experiment-until"))) << "the experiment is the same";
  EXPECT_THAT(test::read_file(fs::path(run) / "experiment.toml"), HasSubstr("vocabulary = \"\"\n"));
  folder.write("text.txt", "bbbbbbbba bbbbbbbba bbbbbbbba bbbbbbbba bbbbbbbba bbbbbbbba bbbbbbbba\n");  // b is now the most frequent
  EXPECT_EQ(said("predict --checkpoint " + run + " --prompt ab --tokens 8 --temperature 0"), before);
  folder.write("text.txt", "cacacaca cacacaca cacacaca cacacaca cacacaca cacacaca cacacaca cacacaca cacacaca\n");
  EXPECT_THAT(said("eval --checkpoint " + run, 1), HasSubstr("holds 'c', which the vocabulary does not have"));
  EXPECT_THAT(said("run --resume " + run + " --smoke", 1), HasSubstr("holds 'c', which the vocabulary does not have"));
  EXPECT_THAT(said("predict --checkpoint " + run + " --input " + at("text.txt"), 1), HasSubstr("'c'"));
  fs::remove(at("text.txt"));  // the vocabulary is enough to go on with a text
  EXPECT_EQ(said("predict --checkpoint " + run + " --prompt ab --tokens 8 --temperature 0"), before);
}

}  // namespace
