#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>

#include "tests/support/parts.hpp"
#include "zstar/abi/dataset.hpp"
#include "zstar/keeps.hpp"
#include "zstar/predict.hpp"

namespace {

using namespace zstar;
namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

/// A folder of its own for each test, removed after it.
struct TextFiles : ::testing::Test {
  const fs::path folder = fs::temp_directory_path() / ("zstar_text_" + std::to_string(::getpid()) + "_" +
                                                       ::testing::UnitTest::GetInstance()->current_test_info()->name());
  TextFiles() { fs::create_directories(folder); }
  ~TextFiles() override { fs::remove_all(folder); }

  fs::path write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder / name, std::ios::binary) << bytes;
    return folder / name;
  }
  std::unique_ptr<Dataset> make(const fs::path& path, Settings more = {}) const {
    more.push_back({"path", path.string()});
    return test::make<Dataset>(Kind::dataset, "text", more);
  }
  std::string refusal(const fs::path& path, const Settings& more = {}) const {
    try {
      make(path, more);
    } catch (const std::exception& e) {
      return e.what();
    }
    return "accepted";
  }
};

std::string decoded(const Dataset& data, const Tensor& tokens) { return query<Tokens>(const_cast<Dataset&>(data))->decode(tokens); }
Settings characters(Settings more = {}) {
  more.push_back({"level", std::string("character")});
  return more;
}

TEST_F(TextFiles, WordsAreNumberedByFallingCountBehindTheEndOfALine) {
  write("train.txt", " b a a\n\nc b a c\n"), write("valid.txt", "a c"), write("test.txt", "b\n");
  const auto data = make(folder);
  EXPECT_EQ(data->describe().at("tokens"), 4);
  EXPECT_EQ(data->size(Split::train), 10);  // 7 words, 3 ends of lines
  EXPECT_EQ(data->size(Split::validation), 3);
  const Tensor tokens = query<Tokens>(*data)->encode("a b c\n");
  EXPECT_TRUE(tokens.equal(torch::tensor({1, 2, 3, 0}, torch::kInt64)));  // a three times; b before c, both twice
  EXPECT_EQ(query<Tokens>(*data)->encode("a b").numel(), 2);             // a line that goes on
  EXPECT_EQ(query<Tokens>(*data)->decode(tokens), "a b c \n");
}

TEST_F(TextFiles, StreamsGoOnFromBatchToBatchAndCoverTheText) {
  std::string text;
  for (int k = 0; k < 103; ++k) text += static_cast<char>('0' + (k * 7 + k / 10) % 64);
  const auto data = make(write("a.txt", text), characters({{"validation", 0.0}, {"test", 0.0}, {"segment", std::int64_t{8}}}));
  const auto batches = data->batches(Split::train, 4, 1);
  const std::int64_t n = 103 / 4;
  ASSERT_EQ(batches.size(), 3u);  // 24 targets a stream, eight at a time
  for (std::int64_t row = 0; row < 4; ++row) {
    std::string tokens, targets;
    for (const auto& indices : batches) {
      const Batch b = data->load(Split::train, indices, 0);
      EXPECT_EQ(b.at("streams")[row].item<std::int64_t>(), row);
      tokens += decoded(*data, b.at("tokens")[row]), targets += decoded(*data, b.at("targets")[row]);
    }
    EXPECT_EQ(tokens, text.substr(static_cast<std::size_t>(row * n), static_cast<std::size_t>(n - 1)));
    EXPECT_EQ(targets, text.substr(static_cast<std::size_t>(row * n + 1), static_cast<std::size_t>(n - 1)));
  }
}

TEST_F(TextFiles, TheLastSegmentIsShorter) {
  const auto data = make(write("a.txt", std::string(40, 'x') + std::string(44, 'y')), characters({{"validation", 0.0}, {"test", 0.0}, {"segment", std::int64_t{16}}}));
  const auto batches = data->batches(Split::train, 2, 1);
  ASSERT_EQ(batches.size(), 3u);  // 42 a stream: 16, 16 and 9 targets
  EXPECT_EQ(data->load(Split::train, batches[2], 0).at("tokens").sizes(), (std::vector<std::int64_t>{2, 9}));
}

TEST_F(TextFiles, ChunksOfABatchHaveStreamsOfTheirOwn) {
  const auto data = make(write("a.txt", std::string(200, 'x') + "y"), characters({{"validation", 0.0}, {"test", 0.0}, {"segment", std::int64_t{10}}, {"chunks", std::int64_t{2}}}));
  const auto batches = data->batches(Split::train, 4, 1);
  ASSERT_GE(batches.size(), 4u);
  for (std::size_t k = 0; k < 4; ++k) {
    const Tensor streams = data->load(Split::train, batches[k], 0).at("streams");
    EXPECT_TRUE(streams.equal(k % 2 == 0 ? torch::tensor({0, 1}, torch::kInt64) : torch::tensor({2, 3}, torch::kInt64)));
  }
  EXPECT_THROW(data->batches(Split::train, 3, 1), OptionError);
}

TEST_F(TextFiles, RandomLengthsCoverTheTextAndDependOnTheSeedAlone) {
  const auto data = make(write("a.txt", std::string(3000, 'x') + "y"), characters({{"validation", 0.0}, {"test", 0.0}, {"segment", std::int64_t{40}}, {"random_lengths", true}}));
  const auto batches = data->batches(Split::train, 2, 7);
  std::int64_t total = 0;
  std::set<std::int64_t> lengths;
  for (const auto& b : batches) {
    const std::int64_t n = data->load(Split::train, b, 0).at("tokens").size(1);
    EXPECT_LE(n, 55);
    total += n, lengths.insert(n);
  }
  EXPECT_EQ(total, 3001 / 2 - 1);
  EXPECT_GT(lengths.size(), 5u);
  EXPECT_EQ(batches, data->batches(Split::train, 2, 7));
  EXPECT_NE(batches, data->batches(Split::train, 2, 8));
}

TEST_F(TextFiles, AVocabularyIsWrittenAndReadAgain) {
  const fs::path file = folder / "v.txt";
  const Settings with = characters({{"vocabulary", file.string()}, {"validation", 0.0}, {"test", 0.0}});
  const auto first = make(write("a.txt", "aab\\n\n\xc3\xa9 end"), with);
  const Tensor tokens = query<Tokens>(*first)->encode("ab\\\n\xc3\xa9");
  EXPECT_EQ(tokens.numel(), 5);
  const auto again = make(folder / "gone.txt", with);
  EXPECT_EQ(again->describe().at("tokens"), first->describe().at("tokens"));
  EXPECT_TRUE(query<Tokens>(*again)->encode("ab\\\n\xc3\xa9").equal(tokens));
  EXPECT_EQ(query<Tokens>(*again)->decode(tokens), "ab\\\n\xc3\xa9");
  EXPECT_EQ(again->size(Split::train), 0);
  EXPECT_THAT(refusal(folder / "a.txt", {{"vocabulary", file.string()}}), HasSubstr("is no vocabulary of words"));
  std::ofstream(file, std::ios::app) << "a\n";
  EXPECT_THAT(refusal(folder / "a.txt", with), HasSubstr("repeats a token"));
}

TEST_F(TextFiles, CompressedFilesAreTheFiles) {
  const std::string text = "one two three\nfour\n";
  const gzFile out = gzopen((folder / "wiki.train.tokens.gz").c_str(), "wb");
  ASSERT_EQ(gzwrite(out, text.data(), static_cast<unsigned>(text.size())), static_cast<int>(text.size()));
  gzclose(out);
  EXPECT_EQ(make(folder)->size(Split::train), 6);
  const auto size = fs::file_size(folder / "wiki.train.tokens.gz");
  fs::resize_file(folder / "wiki.train.tokens.gz", size - 9);
  EXPECT_THAT(refusal(folder), HasSubstr("it ends in the middle of its compressed data"));
}

TEST_F(TextFiles, AFolderWithOneTextIsThatText) {
  write("input.txt", "a b c d e f g h\n"), write("README", "which text this is\n");
  EXPECT_EQ(make(folder, {{"test", 0.0}, {"validation", 0.0}})->size(Split::train), 9);
  write("other.txt", "a\n");
  EXPECT_THAT(refusal(folder), HasSubstr("holds no train.txt"));
}

TEST_F(TextFiles, TokensOfTheOtherPartsOfOneFileFollow) {
  const fs::path file = write("input.txt", "a b b\nb\nc d d\n");
  const auto data = make(file, {{"validation", 0.0}, {"test", 0.5}});
  EXPECT_EQ(data->describe().at("tokens"), 5);
  EXPECT_TRUE(query<Tokens>(*data)->encode("b a c d").equal(torch::tensor({1, 2, 3, 4}, torch::kInt64)));
  EXPECT_EQ(make(file, {{"validation", 0.0}, {"test", 0.5}, {"unknown", std::string("a")}})->describe().at("tokens"), 3);
}

TEST_F(TextFiles, WhatIsKeptIsTheVocabulary) {
  const auto data = make(write("a.txt", "a b b\\\n"));
  const auto kept = query<Keeps>(*data)->kept();
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_EQ(kept[0].option, "vocabulary");
  const auto again = make(write("b.txt", "b b\\ a\n"), {{"vocabulary", write("kept", kept[0].bytes).string()}});
  EXPECT_TRUE(query<Tokens>(*again)->encode("a b b\\\n").equal(query<Tokens>(*data)->encode("a b b\\\n")));
}

TEST_F(TextFiles, UnknownTokensAreNamedOrStoodFor) {
  write("train.txt", "a b <unk>\n"), write("valid.txt", "a zebra\n");
  EXPECT_THAT(refusal(folder), AllOf(HasSubstr("valid.txt"), HasSubstr("'zebra'"), HasSubstr("\n  remedy: count = \"all\" counts all files")));
  EXPECT_EQ(make(folder, {{"count", std::string("all")}})->describe().at("tokens"), 5);
  const auto data = make(folder, {{"unknown", std::string("<unk>")}});
  EXPECT_EQ(query<Tokens>(*data)->decode(query<Tokens>(*data)->encode("zebra a")), "<unk> a ");
  EXPECT_THAT(refusal(folder, {{"unknown", std::string("<none>")}}), HasSubstr("has no token '<none>'"));
}

TEST_F(TextFiles, AnUnknownTokenOfAPromptIsAnsweredWithTheVocabularyAndItsNearestToken) {
  const std::string file = (folder / "v.txt").string();
  const auto data = make(write("a.txt", "romeo juliet\n"), {{"vocabulary", file}, {"validation", 0.0}, {"test", 0.0}});
  const auto said = [&](const std::string& prompt) -> std::string {
    try {
      return query<Tokens>(*data)->encode(prompt), "not refused";
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
  };
  EXPECT_EQ(said("Romeo juliet"), "the text holds 'Romeo', which the vocabulary does not have\n  did you mean: 'romeo'?\n  remedy: use words of the vocabulary, which " + file + " lists");
  EXPECT_THAT(said("mercutio"), Not(HasSubstr("did you mean")));
}

TEST_F(TextFiles, DamagedAndMissingTextIsSaidSo) {
  EXPECT_THAT(refusal(folder), HasSubstr("holds no train.txt"));
  EXPECT_THAT(refusal(folder / "none"), HasSubstr("does not exist"));
  EXPECT_THAT(refusal(write("empty.txt", "")), HasSubstr("is empty"));
  const fs::path latin = write("latin.txt", std::string("abc\xe9 def ") + std::string(60, 'x'));
  EXPECT_THAT(refusal(latin, characters()), AllOf(HasSubstr("latin.txt"), HasSubstr("byte 3")));
  EXPECT_THAT(refusal(latin), AllOf(HasSubstr("latin.txt"), HasSubstr("byte 3"), HasSubstr("level = \"byte\"")));
  EXPECT_THAT(refusal(write("zero.txt", std::string("ab\0c", 4))), HasSubstr("byte 2"));
  EXPECT_EQ(make(latin, {{"level", std::string("byte")}})->describe().at("tokens"), 9);
}

}  // namespace
