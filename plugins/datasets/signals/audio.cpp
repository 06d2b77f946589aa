/// \file One sound as a signal. Layout: README.md.
#include "sounds.hpp"

namespace {

using namespace zstar_signals;

class Audio final : public Points {
 public:
  struct Options : SignalOptions {
    double start = 0, seconds = 0;
  };
  static auto options() {
    return std::tuple_cat(signal_options<Options>("a sound file (WAV with integers or floats, and what libsndfile reads); empty: a chirp"),
                          std::tuple{zstar::opt("start", &Options::start, "of the part used", zstar::at_least(0.0), "seconds"),
                                     zstar::opt("seconds", &Options::seconds, "length of the part used; 0: to the end", zstar::at_least(0.0), "seconds")});
  }
  Audio(const Options& o, zstar::Host&) : Points(o), sound_(o.path.empty() ? chirp(o) : read(o)), peak_(sound_.samples.abs().max().item<double>()) {
    if (peak_ == 0) throw OptionError("path", o.path + " is silent in the part used: all its samples are zero, and there is nothing to represent");
    set(sound_.samples / peak_, /*columns_first=*/false);
  }

  /// A value that is what was handed out becomes the sample that it was made of, to the last bit; any other is scaled.
  std::vector<std::string> render(Split split, const Tensor& predictions, const std::string& folder) const override {
    const Tensor values = on_grid(split, predictions), stored = of_split(split, sound_.samples);
    const Tensor samples = torch::where(values.eq((stored / peak_).to(torch::kFloat32)), stored, values.to(torch::kFloat64) * peak_);
    const fs::path file = fs::path(folder) / "sound.wav";
    write_wav(file, {samples, sound_.rate / static_cast<int>(step()), sound_.format});
    return {file.string()};
  }

 private:
  /// Samples in a length of time. \throws OptionError  for none
  static double samples_in(double seconds, int rate) {
    const double count = std::round(seconds * rate);
    if (count < 1) throw OptionError("seconds", "seconds = " + std::to_string(seconds) + " is less than a sample of 1/" + std::to_string(rate) + " s");
    return count;
  }

  /// From 50 Hz to 2 kHz over the length, 8 kHz, one second unless said otherwise.
  static Sound chirp(const Options& o) {
    Sound sound;
    const double seconds = o.seconds > 0 ? o.seconds : 1, count = samples_in(seconds, sound.rate);
    if (count > 1e8) throw OptionError("seconds", "a chirp of more than 10⁸ samples; take fewer seconds");
    const Tensor t = torch::arange(static_cast<std::int64_t>(count), torch::kFloat64) / sound.rate;
    sound.samples = torch::sin(2 * M_PI * (50 * t + (1950 / (2 * seconds)) * t.square())).unsqueeze(1);
    return sound;
  }

  /// The part that the options name, its channels averaged, [n, 1].
  static Sound read(const Options& o) {
    SoundReader in(o.path);
    const auto all = static_cast<double>(in.size());
    const double first = std::round(o.start * in.rate());
    const auto lasts = [&](double samples) { return std::to_string(samples / in.rate()) + " s"; };
    if (!(first < all)) throw OptionError("start", o.path + " has " + std::to_string(in.size()) + " samples and lasts " + lasts(all) + ", so that none is left after start");
    const double count = o.seconds > 0 ? samples_in(o.seconds, in.rate()) : all - first;
    if (count > all - first) throw OptionError("seconds", o.path + " lasts " + lasts(all - first) + " from start on, less than seconds; 0 takes what there is");
    Sound sound = in.read(static_cast<std::int64_t>(first), static_cast<std::int64_t>(count));
    if (sound.samples.size(1) > 1) sound.samples = sound.samples.mean(1, /*keepdim=*/true);
    return sound;
  }

  Sound sound_;
  double peak_;
};

}  // namespace

ZSTAR_DATASET(Audio, "audio", "the samples of one sound (WAV)")
