/// \file Weights of models in files of other programs.
#include <unistd.h>

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/training/weights.hpp"
#include "tests/support/model_host.hpp"
#include "zstar/formats/torch_file.hpp"

namespace {

using namespace zstar;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Named = std::vector<std::pair<std::string, Tensor>>;

struct Built {
  std::unique_ptr<test::ModelHost> host;
  std::shared_ptr<Model> model;

  explicit Built(std::uint64_t seed, const char* name = "mondeq", const Settings& settings = {{"width", std::int64_t{4}}, {"rank", std::int64_t{2}}}) {
    torch::manual_seed(seed);
    const auto layer = std::shared_ptr<gradient::Layer>(new gradient::Layer(test::layer("phantom", {}, {})));
    host = std::make_unique<test::ModelHost>(layer, nullptr, Description{{{"channels", 1}, {"height", 2}, {"width", 3}, {"classes", 2}}});
    model = test::catalogue().create<Model>(Kind::model, name, settings, *host);
  }
  Named named(const std::string& prefix) const {
    Named all;
    for (const auto& p : model->named_parameters()) all.emplace_back(prefix + p.key(), p.value());
    return all;
  }
  bool operator==(const Built& other) const {
    for (const auto& p : model->named_parameters())
      if (!p.value().equal(other.model->named_parameters()[p.key()])) return false;
    return true;
  }
};

std::string numbers_of(const Tensor& t) { return {static_cast<const char*>(t.contiguous().data_ptr()), t.nbytes()}; }

/// {'epoch': 3, 'model': OrderedDict(name: Parameter)} with float32 storages on a GPU, as training programs save it.
/// \param view  the sixth entry of a storage's identifier, which the older form has alone
/// \param beside  a key of the outermost dict under which the first tensor is once more; empty: none
std::string checkpoint_pickle(const Named& tensors, bool view, const std::string& beside = {}) {
  formats::PickleWriter w;
  w.raw("\x80\x02}(").text("epoch").integer(3).text("model").global("collections", "OrderedDict").raw(")R(");
  const auto parameter = [&](const std::string& name, std::size_t i) {
    const Tensor& t = tensors[i].second;
    w.text(name).global("torch._utils", "_rebuild_parameter").raw("(").global("torch._utils", "_rebuild_tensor_v2").raw("((");
    w.text("storage").global("torch", "FloatStorage").text(std::to_string(i)).text("cuda:1").integer(t.numel()).raw(view ? "NtQ" : "tQ");
    w.integer(0).tuple(t.sizes()).tuple(t.strides()).raw("\x89NtR\x88NtR");
  };
  for (std::size_t i = 0; i < tensors.size(); ++i) parameter(tensors[i].first, i);
  w.raw("u");
  if (!beside.empty()) parameter(beside, 0);
  return w.raw("u.").bytes();
}

/// torch.save's form before 1.6: magic number, version, facts on the machine, object, keys, and every storage behind its length.
std::string older_form(const Named& tensors) {
  formats::PickleWriter head, keys;
  head.raw("\x80\x02\x8a\x0a").raw("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19").raw(".\x80\x02M\xe9\x03.");
  head.raw("\x80\x02}(").text("protocol_version").integer(1001).text("little_endian").raw("\x88u.");
  keys.raw("\x80\x02](");
  std::string storages;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    keys.text(std::to_string(i));
    const std::int64_t n = tensors[i].second.numel();
    storages.append(reinterpret_cast<const char*>(&n), sizeof n) += numbers_of(tensors[i].second);
  }
  return head.bytes() + checkpoint_pickle(tensors, /*view=*/true) + keys.raw("e.").bytes() + storages;
}

struct Weights : ::testing::Test {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / ("zstar-weights-" + std::to_string(::getpid()));
  Weights() { std::filesystem::create_directories(folder); }
  ~Weights() override { std::filesystem::remove_all(folder); }
  std::string refusal(Model& model, const std::string& key = "") const {
    try {
      training::load_weights(model, folder / "w.pth", key);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "not refused";
  }
};

TEST_F(Weights, ComeBackFromEveryFormatTheyAreExportedTo) {
  const Built from(1);
  for (const char* name : {"w.safetensors", "w.npz", "w.pth"}) {
    Built to(2);
    ASSERT_FALSE(to == from);
    training::export_weights(*from.model, folder / name);
    training::load_weights(*to.model, folder / name, "");
    EXPECT_TRUE(to == from) << name;
  }
  EXPECT_THROW(training::export_weights(*from.model, folder / "w.doc"), std::runtime_error);
}

TEST_F(Weights, Z10OfDataParallelTrainingAreTakenWithoutTheirPrefix) {
  const Built from(1);
  Built to(2);
  formats::write_state_dict(folder / "w.pth", from.named("module."));
  training::load_weights(*to.model, folder / "w.pth", "");
  EXPECT_TRUE(to == from);
}

TEST_F(Weights, OfAnotherProgramNeedNotHaveWhatThisModelCountsNorItsNewestNames) {
  using List = std::vector<std::int64_t>;
  const Settings small{{"channels", List{2, 2}}, {"head_channels", List{1, 1}}, {"final_channels", std::int64_t{3}}, {"groups", std::int64_t{2}}, {"expansion", std::int64_t{1}}};
  Settings pretrained = small;
  pretrained.push_back({"pretrain_steps", std::int64_t{3}});
  const Built from(1, "mdeq", small);
  Built to(2, "mdeq", pretrained);
  Named theirs = from.named("");
  for (const auto& b : from.model->named_buffers())
    if (b.value().dim() > 0) theirs.emplace_back(b.key(), b.value());
  const std::string own = "full_stage.";
  for (auto& entry : theirs)
    if (entry.first.compare(0, own.size(), own) == 0) entry.first = "fullstage." + entry.first.substr(own.size());
  formats::write_state_dict(folder / "w.pth", theirs);

  training::load_weights(*to.model, folder / "w.pth", "");

  EXPECT_TRUE(to == from);
  EXPECT_EQ(to.model->named_buffers()["pretrained_batches"].item<double>(), 0);
  theirs.pop_back();
  formats::write_state_dict(folder / "w.pth", theirs);
  EXPECT_THAT(refusal(*to.model), HasSubstr("missing: ")) << "statistics are needed";
}

TEST_F(Weights, InATrainingCheckpointOfAGpuAreFoundUnderTheirKey) {
  const Built from(1);
  Built to(2);
  std::vector<std::pair<std::string, std::string>> entries{{"archive/data.pkl", checkpoint_pickle(from.named("module."), /*view=*/false)}};
  for (const auto& [name, t] : from.named("")) entries.emplace_back("archive/data/" + std::to_string(entries.size() - 1), numbers_of(t));
  formats::write_zip(folder / "w.pth", entries);

  EXPECT_THAT(refusal(*to.model), AllOf(HasSubstr("w.pth"), HasSubstr("'epoch', 'model'")));
  EXPECT_THAT(refusal(*to.model, "state_dict"), AllOf(HasSubstr("has no key 'state_dict'"), HasSubstr("--key model"), Not(HasSubstr("fetch the file again"))));
  ASSERT_FALSE(to == from);
  training::load_weights(*to.model, folder / "w.pth", "model");
  EXPECT_TRUE(to == from);
}

TEST_F(Weights, BesideATensorOfTheirCheckpointAreNamedByTheirKey) {
  const Built from(1);
  Built to(2);
  const Named named = from.named("");
  std::vector<std::pair<std::string, std::string>> entries{{"archive/data.pkl", checkpoint_pickle(named, /*view=*/false, /*beside=*/"best_acc1")}};
  for (const auto& [name, t] : named) entries.emplace_back("archive/data/" + std::to_string(entries.size() - 1), numbers_of(t));
  formats::write_zip(folder / "w.pth", entries);

  const std::string said = refusal(*to.model);

  EXPECT_THAT(said, HasSubstr("unexpected: best_acc1"));
  EXPECT_THAT(said, HasSubstr("\n  remedy: the file also holds a dict 'model' of " + std::to_string(named.size()) + " tensors: --key model"));
  training::load_weights(*to.model, folder / "w.pth", "model");
  EXPECT_TRUE(to == from);
}

TEST_F(Weights, OfTheOlderFormAreReadAndACutOneIsRefused) {
  const Built from(1);
  Built to(2);
  const std::string bytes = older_form(from.named(""));
  std::ofstream(folder / "w.pth", std::ios::binary) << bytes.substr(0, bytes.size() - 4);
  EXPECT_THAT(refusal(*to.model, "model"), HasSubstr("is cut short"));
  std::ofstream(folder / "w.pth", std::ios::binary) << bytes;
  training::load_weights(*to.model, folder / "w.pth", "model");
  EXPECT_TRUE(to == from);
}

TEST_F(Weights, Y3OfAnotherModelAreListedAndLeaveTheModelAsItIs) {
  const Built before(2);
  Built to(2);
  Named tensors = before.named("");
  const std::string reshaped = tensors.at(0).first, missing = tensors.at(1).first;
  tensors[0].second = torch::zeros({7, 4});
  tensors.erase(tensors.begin() + 1);
  tensors.emplace_back("head.weight", torch::zeros({3}));
  for (auto& [name, t] : tensors) t = t + 1;
  formats::write_state_dict(folder / "w.pth", tensors);

  const std::string said = refusal(*to.model);

  EXPECT_THAT(said, HasSubstr("other shape: " + reshaped + " is [7, 4], the model has ["));
  EXPECT_THAT(said, HasSubstr("missing: " + missing));
  EXPECT_THAT(said, HasSubstr("unexpected: head.weight [3]"));
  EXPECT_THAT(said, HasSubstr("\n  remedy: name the experiment that these weights were trained with"));
  EXPECT_TRUE(to == before);
}

}  // namespace
