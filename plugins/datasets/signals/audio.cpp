/// \file One sound as a signal. Layout: README.md.
#include <sndfile.h>

#include <memory>

#include "points.hpp"

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
  Audio(const Options& o, zstar::Host&) : Points(o) {
    const Tensor samples = o.path.empty() ? chirp(o) : read(o);
    peak_ = samples.abs().max().item<double>();
    set((peak_ > 0 ? samples / peak_ : samples).unsqueeze(1), /*columns_first=*/false);
  }

  std::vector<std::string> render(Split split, const Tensor& predictions, const std::string& folder) const override {
    const Tensor sound = (on_grid(split, predictions).squeeze(1) * peak_).clamp(-1, 1).contiguous();
    const fs::path file = fs::path(folder) / "sound.wav";
    SF_INFO info{};
    info.samplerate = rate_, info.channels = 1, info.format = SF_FORMAT_WAV | subtype_;
    const std::unique_ptr<SNDFILE, int (*)(SNDFILE*)> out(sf_open(file.c_str(), SFM_WRITE, &info), sf_close);
    if (!out || sf_writef_float(out.get(), sound.data_ptr<float>(), sound.numel()) != sound.numel())
      throw std::runtime_error(file.string() + " cannot be written: " + sf_strerror(out.get()));
    return {file.string()};
  }

 private:
  /// From 50 Hz to 2 kHz over the length, 8 kHz, one second unless said otherwise.
  Tensor chirp(const Options& o) {
    rate_ = 8000;
    const double seconds = o.seconds > 0 ? o.seconds : 1;
    const Tensor t = torch::arange(static_cast<std::int64_t>(seconds * rate_), torch::kFloat64) / rate_;
    return torch::sin(2 * M_PI * (50 * t + (1950 / (2 * seconds)) * t.square())).to(torch::kFloat32);
  }

  /// Samples of all channels averaged, [n].
  Tensor read(const Options& o) {
    SF_INFO info{};
    const std::unique_ptr<SNDFILE, int (*)(SNDFILE*)> in(sf_open(o.path.c_str(), SFM_READ, &info), [](SNDFILE* f) { return f ? sf_close(f) : 0; });
    if (!in) damaged(o.path, std::string("cannot be read as a sound: ") + sf_strerror(nullptr));
    rate_ = info.samplerate;
    if (const int subtype = info.format & SF_FORMAT_SUBMASK; subtype == SF_FORMAT_FLOAT || subtype == SF_FORMAT_PCM_24 || subtype == SF_FORMAT_PCM_32) subtype_ = subtype;
    const auto first = static_cast<std::int64_t>(o.start * rate_), all = static_cast<std::int64_t>(info.frames);
    const std::int64_t count = o.seconds > 0 ? std::min(all - first, static_cast<std::int64_t>(o.seconds * rate_)) : all - first;
    if (count <= 0) throw OptionError("start", o.path + " has " + std::to_string(all) + " samples, so that none is left after start");
    const Tensor frames = torch::empty({count, info.channels}, torch::kFloat32);
    sf_seek(in.get(), first, SEEK_SET);
    if (sf_readf_float(in.get(), frames.data_ptr<float>(), count) != count) damaged(o.path, "is cut short: fewer samples than its header says");
    return frames.mean(1);
  }

  int rate_ = 0, subtype_ = SF_FORMAT_PCM_16;
  double peak_ = 1;
};

}  // namespace

ZSTAR_DATASET(Audio, "audio", "the samples of one sound (WAV)")
