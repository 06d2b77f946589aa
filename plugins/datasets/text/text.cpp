/// \file Text as one long sequence of tokens, cut into streams and segments. Definition and sources: README.md.
#include <random>

#include <zstar/keeps.hpp>
#include <zstar/predict.hpp>
#include <zstar/sdk.hpp>

#include "vocabulary.hpp"

namespace {

using namespace zstar_text;
using torch::Tensor;
using zstar::OptionError;
using zstar::Split;

/// Where a segment lies: token it starts with, stream that it goes on with, tokens. An index of the data set holds all three.
struct Segment {
  static constexpr int length_bits = 14, stream_bits = 15;
  static constexpr std::int64_t longest = (std::int64_t{1} << length_bits) - 1, streams = std::int64_t{1} << stream_bits;
  std::int64_t start, stream, length;

  std::int64_t index() const { return (start << stream_bits | stream) << length_bits | length; }
  static Segment of(std::int64_t index) { return {index >> (length_bits + stream_bits), index >> length_bits & (streams - 1), index & longest}; }
};

class Text final : public zstar::Dataset, public zstar::Tokens, public zstar::Keeps {
 public:
  struct Options {
    std::string path, level = "word", vocabulary, count = "train", unknown;
    bool lower_case = false, random_lengths = false;
    double validation = 0.05, test = 0.05;
    std::int64_t segment = 64, chunks = 1;
    std::optional<std::int64_t> eval_segment;
  };
  static auto options() {
    using O = Options;
    const auto length = zstar::within(1, static_cast<double>(Segment::longest));
    return std::tuple{
        zstar::opt("path", &O::path, "folder with train.txt, valid.txt and test.txt (or wiki.train.tokens, ptb.train.txt, …; .gz too), or one file that is cut in three, or a folder with that .txt alone"),
        zstar::choice("level", &O::level, "tokens are words between spaces and the end of every line, characters of UTF-8, or bytes", {"word", "character", "byte"}),
        zstar::opt("vocabulary", &O::vocabulary, "file of the vocabulary: read if it is there, else written; empty: built anew. A run keeps its own, and goes on with that"),
        zstar::choice("count", &O::count, "files that the vocabulary is counted over", {"train", "all"}),
        zstar::opt("unknown", &O::unknown, "token that stands for those that the vocabulary does not have; empty: they are an error"),
        zstar::opt("lower_case", &O::lower_case, "letters A … Z are taken as a … z"),
        zstar::opt("validation", &O::validation, "share of the one file that validates, before the test's at its end", zstar::from_below(0.0, 1.0)),
        zstar::opt("test", &O::test, "share of the one file that tests, at its end", zstar::from_below(0.0, 1.0)),
        zstar::opt("segment", &O::segment, "L, tokens of a segment", length),
        zstar::opt("eval_segment", &O::eval_segment, "L in evaluation; unset: as in training", length),
        zstar::opt("random_lengths", &O::random_lengths, "lengths in training from N(L, 5²), of one segment in twenty from N(L/2, 5²)"),
        zstar::opt("chunks", &O::chunks, "parts of a batch that follow one another, for train.accumulate of the same number", zstar::at_least(1))};
  }

  Text(const Options& o, zstar::Host&) : o_(o), level_(o.level == "word" ? Level::word : o.level == "byte" ? Level::byte : Level::character) {
    if (o.path.empty() && o.vocabulary.empty()) throw OptionError("path", "path is empty; name a folder or a file of text");
    if (o.validation + o.test >= 1) throw OptionError("validation", "validation and test leave nothing to train on");
    const bool saved = !o.vocabulary.empty() && fs::exists(o.vocabulary);
    std::vector<Source> sources = read(saved);
    if (saved) {
      vocabulary_ = std::make_unique<Vocabulary>(Vocabulary::load(o.vocabulary, level_));
    } else {
      std::vector<std::string_view> texts, rest;
      for (const Source& s : sources)
        if (o.count == "all" || s.split == Split::train) texts.push_back(s.text);
        else if (o.unknown.empty() && s.file == sources.front().file) rest.push_back(s.text);  // of one file: it is cut anywhere
      vocabulary_ = std::make_unique<Vocabulary>(zstar::formats::about(sources.front().file, [&] { return Vocabulary::count(texts, level_, rest); }));
      if (!o.vocabulary.empty()) vocabulary_->save(o.vocabulary);
    }
    if (!o.unknown.empty() && vocabulary_->find(o.unknown) < 0) throw OptionError("unknown", "the vocabulary has no token '" + o.unknown + "'");
    for (const Source& s : sources)
      tokens_[static_cast<std::size_t>(s.split)] = zstar::formats::about(s.file, [&] {
        return numbers(s.text, saved ? "name a text of that vocabulary, " + o.vocabulary + "; unknown names a token for others" : "count = \"all\" counts all files; unknown names a token for others");
      });
  }

  void* query(std::string_view id) override {
    if (id == zstar::Keeps::id) return static_cast<zstar::Keeps*>(this);
    return id == zstar::Tokens::id ? static_cast<zstar::Tokens*>(this) : nullptr;
  }
  std::vector<File> kept() const override { return {{"vocabulary", vocabulary_->bytes()}}; }

  zstar::Description describe() const override { return {{{"tokens", vocabulary_->size()}, {"segment", o_.segment}}}; }

  std::int64_t size(Split split) const override {
    const Tensor& t = of(split);
    return t.defined() && t.numel() > 1 ? t.numel() : 0;
  }

  /// Streams of equal length side by side, and segments of all of them one after the other.
  std::vector<std::vector<std::int64_t>> batches(Split split, std::int64_t batch_size, std::uint64_t shuffle_seed) const override {
    const std::int64_t most = size(split) / 2, rows = std::min(batch_size, most);
    if (rows == 0) return {};
    if (batch_size > Segment::streams) throw OptionError("path", "batches of text hold at most " + std::to_string(Segment::streams) + " sequences");
    const std::int64_t chunks = split == Split::train ? o_.chunks : 1, length = of(split).numel() / rows;
    if (rows % chunks != 0) throw OptionError("chunks", std::to_string(chunks) + " chunks do not divide a batch of " + std::to_string(rows) + " sequences");
    std::vector<std::vector<std::int64_t>> all;
    std::mt19937_64 random(shuffle_seed);
    for (std::int64_t start = 0; start + 1 < length;) {
      const std::int64_t n = std::min(length_of(split, random), length - 1 - start);
      for (std::int64_t c = 0; c < chunks; ++c) {
        all.emplace_back();
        for (std::int64_t row = c * (rows / chunks); row < (c + 1) * (rows / chunks); ++row) all.back().push_back(Segment{row * length + start, row, n}.index());
      }
      start += n;
    }
    return all;
  }

  zstar::Batch load(Split split, const std::vector<std::int64_t>& indices, std::uint64_t) const override {
    std::vector<Tensor> rows;
    std::vector<std::int64_t> streams;
    for (const std::int64_t index : indices) {
      const Segment s = Segment::of(index);
      rows.push_back(of(split).narrow(0, s.start, s.length + 1));
      streams.push_back(s.stream);
    }
    const Tensor text = torch::stack(rows).to(torch::kInt64);  // [B, 1 + L]
    const std::int64_t n = text.size(1) - 1;
    return {{{"tokens", text.narrow(1, 0, n).contiguous()}, {"targets", text.narrow(1, 1, n).contiguous()}, {"streams", torch::tensor(streams)}}, indices};
  }

  Tensor encode(std::string_view text) const override {
    Tensor t;
    try {
      t = numbers(text, "use " + std::string(name_of(level_)) + "s of the vocabulary" + (o_.vocabulary.empty() ? "" : ", which " + o_.vocabulary + " lists"));
    } catch (const zstar::formats::FormatError& error) {
      throw std::invalid_argument("the text " + std::string(error.what()));
    }
    const bool open = level_ == Level::word && !text.empty() && text.back() != '\n';  // a line that goes on
    return t.narrow(0, 0, t.numel() - (open ? 1 : 0)).to(torch::kInt64);
  }

  std::string decode(const Tensor& tokens) const override {
    std::string text;
    const Tensor t = tokens.to(torch::kCPU, torch::kInt64).contiguous();
    const auto* numbers = t.data_ptr<std::int64_t>();
    for (std::int64_t k = 0; k < t.numel(); ++k) {
      const std::string& token = vocabulary_->token(numbers[k]);
      if (level_ != Level::word) text += token;
      else text += token == end_of_line ? "\n" : token + " ";
    }
    return text;
  }

  zstar::Batch sequence(const Tensor& tokens) const override { return {{{"tokens", tokens.to(torch::kInt64).reshape({1, -1})}}, {}}; }

 private:
  /// One split of the text, as bytes.
  struct Source {
    Split split;
    fs::path file;
    std::string text;
  };

  const Tensor& of(Split split) const { return tokens_[static_cast<std::size_t>(split)]; }

  static fs::path find(const fs::path& folder, std::initializer_list<const char*> splits) {
    for (const std::string split : splits)
      for (const std::string& name : {split + ".txt", "wiki." + split + ".tokens", "wiki." + split + ".raw", "ptb." + split + ".txt"})
        if (const fs::path file = zstar::formats::find_file(folder, name); !file.empty()) return file;
    return {};
  }

  /// The one text in a folder; the folder itself where there is none, or there are several.
  static fs::path only_text(const fs::path& folder) {
    std::vector<fs::path> texts;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error))
      if (const std::string name = entry.path().filename().string(); name.ends_with(".txt") || name.ends_with(".txt.gz")) texts.push_back(entry.path());
    return texts.size() == 1 && find(folder, {"train", "valid", "validation", "val", "test"}).empty() ? texts.front() : folder;
  }

  /// \param saved  the vocabulary is there, so that text is not needed for prediction
  std::vector<Source> read(bool saved) const {
    std::vector<Source> sources;
    const fs::path path = only_text(o_.path);
    if (fs::is_directory(path)) {
      const std::pair<Split, fs::path> files[] = {{Split::train, find(path, {"train"})}, {Split::validation, find(path, {"valid", "validation", "val"})}, {Split::test, find(path, {"test"})}};
      for (const auto& [split, file] : files)
        if (!file.empty()) sources.push_back({split, file, text_of(file)});
      if (sources.empty() || (!saved && sources.front().split != Split::train))
        throw OptionError("path", path.string() + " holds no train.txt (nor wiki.train.tokens, ptb.train.txt, nor one of them with .gz)");
    } else if (fs::exists(path)) {
      const std::string text = text_of(path);
      const std::size_t test = boundary(text, 1 - o_.test), validation = boundary(text, 1 - o_.test - o_.validation);
      sources = {{Split::train, path, text.substr(0, validation)}, {Split::validation, path, text.substr(validation, test - validation)}, {Split::test, path, text.substr(test)}};
    } else if (!saved) {
      throw OptionError("path", path.string() + " does not exist; name a folder with train.txt, or a file of text");
    }
    return sources;
  }

  std::string text_of(const fs::path& file) const {
    const auto bytes = zstar::formats::read_file(file);
    if (bytes.empty()) zstar::formats::damaged(file, "is empty");
    std::string text(zstar::formats::as_text(bytes));
    if (o_.lower_case)
      for (char& c : text)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return text;
  }

  /// The byte at a share of the text; of words, the next line, and never within a character.
  std::size_t boundary(const std::string& text, double share) const {
    auto at = static_cast<std::size_t>(share * static_cast<double>(text.size()) + 0.5);
    if (level_ == Level::word) {
      while (at < text.size() && at > 0 && text[at - 1] != '\n') ++at;
    } else if (level_ == Level::character) {
      while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) ++at;
    }
    return std::min(at, text.size());
  }

  /// int32: half the memory of what the model takes; a segment is widened when it is loaded.
  /// \param remedy  for a token that the vocabulary does not have
  Tensor numbers(std::string_view text, const std::string& remedy) const {
    std::vector<std::int32_t> all;
    const std::int32_t instead = o_.unknown.empty() ? -1 : vocabulary_->find(o_.unknown);
    for_each_token(text, level_, [&](std::string_view token) {
      std::int32_t n = vocabulary_->find(token);
      if (n < 0) n = instead;
      if (n < 0) throw zstar::formats::FormatError("holds '" + std::string(token) + "', which the vocabulary does not have" + vocabulary_->near(token) + "\n  remedy: " + remedy);
      all.push_back(n);
    });
    return torch::tensor(all, torch::kInt32);
  }

  std::int64_t length_of(Split split, std::mt19937_64& random) const {
    if (split != Split::train) return o_.eval_segment.value_or(o_.segment);
    if (!o_.random_lengths) return o_.segment;
    const auto mean = static_cast<double>(o_.segment) * (std::uniform_real_distribution<>()(random) < 0.95 ? 1.0 : 0.5);
    const auto drawn = static_cast<std::int64_t>(std::normal_distribution<>(mean, 5.0)(random));
    return std::min(std::clamp<std::int64_t>(drawn, 5, o_.segment + 15), Segment::longest);
  }

  Options o_;
  Level level_;
  std::unique_ptr<Vocabulary> vocabulary_;
  Tensor tokens_[3];  // int32 [n]; undefined: no such split
};

}  // namespace

ZSTAR_PLUGIN("zstar.text", "0.1.0", "text for language models")
ZSTAR_DATASET(Text, "text", "words, characters or bytes of text files, in streams and segments")
