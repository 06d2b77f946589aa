#pragma once
/// \file Sounds in files, sample by sample as they are stored.

#include <sndfile.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>

#include "points.hpp"

namespace zstar_signals {
namespace {

using SoundFile = std::unique_ptr<SNDFILE, int (*)(SNDFILE*)>;

/// How libsndfile's subtypes hold a sample. Integers are k / 2^(bits − 1).
struct SampleFormat {
  int subtype;
  int bits;  ///< 0: a float
};
inline SampleFormat sample_format(int format) {
  switch (const int subtype = format & SF_FORMAT_SUBMASK) {
    case SF_FORMAT_FLOAT:
    case SF_FORMAT_DOUBLE: return {subtype, 0};
    case SF_FORMAT_PCM_S8:
    case SF_FORMAT_PCM_U8: return {SF_FORMAT_PCM_U8, 8};
    case SF_FORMAT_PCM_24: return {subtype, 24};
    case SF_FORMAT_PCM_32: return {subtype, 32};
    case SF_FORMAT_ULAW:
    case SF_FORMAT_ALAW: return {subtype, 16};
    default: return {SF_FORMAT_PCM_16, 16};
  }
}

/// Samples between −1 and 1 as a rule (floats may be larger), float64 [n, channels].
struct Sound {
  Tensor samples;
  int rate = 8000;
  SampleFormat format{SF_FORMAT_PCM_16, 16};
};

/// The chunks of a RIFF, RF64 or AIFF file: libsndfile takes the samples that are there, whatever the header announces.
class Chunks {
 public:
  explicit Chunks(const fs::path& file) : in_(file, std::ios::binary), bytes_(static_cast<std::int64_t>(fs::file_size(file))) {}

  /// Bytes of samples that the header announces and the file lacks; 0 for files without such a header.
  std::int64_t missing() {
    const std::string kind = word();
    if (kind != "RIFF" && kind != "RIFX" && kind != "RF64" && kind != "FORM") return 0;
    big_ = kind == "RIFX" || kind == "FORM";
    number(4);
    word();  // WAVE, AIFF
    std::int64_t wide = -1;  // of RF64
    for (std::int64_t at = 12; at + 8 <= bytes_;) {
      in_.seekg(at);
      const std::string name = word();
      std::int64_t size = number(4);
      if (name == "ds64") number(8), wide = number(8);
      if (name == "data" || name == "SSND") {
        if (size == 0xffffffff) size = wide;  // −1: of unknown length, to the end of the file
        return std::max<std::int64_t>(0, size - (bytes_ - at - 8));
      }
      at += 8 + size + size % 2;
    }
    return 0;
  }

 private:
  std::string word() {
    std::string text(4, '\0');
    in_.read(text.data(), 4);
    return text;
  }
  std::int64_t number(int bytes) {
    std::uint64_t value = 0;
    for (int i = 0; i < bytes; ++i) {
      const auto byte = static_cast<std::uint64_t>(in_.get() & 0xff);
      value = big_ ? value << 8 | byte : value | byte << (8 * i);
    }
    return static_cast<std::int64_t>(value);
  }

  std::ifstream in_;
  std::int64_t bytes_;
  bool big_ = false;
};

/// A file opened to be read, and what its header says.
class SoundReader {
 public:
  explicit SoundReader(const fs::path& file) : file_(file), in_(sf_open(file.c_str(), SFM_READ, &info_), sf_close) {
    if (!in_) damaged(file, std::string("cannot be read as a sound: ") + sf_strerror(nullptr));
    if (const std::int64_t missing = Chunks(file).missing(); missing > 0) damaged(file, "is cut short: " + std::to_string(missing) + " bytes of the samples that its header announces are missing");
  }

  std::int64_t size() const { return info_.frames; }
  int rate() const { return info_.samplerate; }

  /// \throws std::runtime_error  for a file that is cut short, or has a sample that is not finite
  Sound read(std::int64_t first, std::int64_t count) {
    Sound sound{torch::empty({count, info_.channels}, torch::kFloat64), info_.samplerate, sample_format(info_.format)};
    if (sf_seek(in_.get(), first, SEEK_SET) != first || fill(sound) != count) damaged(file_, "is cut short: fewer samples than its header says");
    if (!sound.samples.isfinite().all().item<bool>()) damaged(file_, "has samples that are not finite numbers");
    return sound;
  }

 private:
  std::int64_t fill(Sound& sound) {
    const std::int64_t count = sound.samples.size(0);
    const int stored = info_.format & SF_FORMAT_SUBMASK;
    if (sound.format.bits == 0 || (stored != sound.format.subtype && stored != SF_FORMAT_PCM_S8)) return sf_readf_double(in_.get(), sound.samples.data_ptr<double>(), count);
    const Tensor integers = torch::empty({count, info_.channels}, torch::kInt32);  // of 32 bits, whatever the file has
    const std::int64_t read = sf_readf_int(in_.get(), integers.data_ptr<std::int32_t>(), count);
    sound.samples.copy_(integers).div_(2147483648.0);
    return read;
  }

  fs::path file_;
  SF_INFO info_{};
  SoundFile in_;
};

/// A WAV file. Integers are rounded and end at the largest of their format; floats are written as they are.
inline void write_wav(const fs::path& file, const Sound& sound) {
  SF_INFO info{};
  info.samplerate = sound.rate, info.channels = static_cast<int>(sound.samples.size(1)), info.format = SF_FORMAT_WAV | sound.format.subtype;
  const SoundFile out(sf_open(file.c_str(), SFM_WRITE, &info), sf_close);
  std::int64_t written = 0;
  const Tensor samples = sound.samples.contiguous();
  if (out && sound.format.bits == 0) {
    sf_command(out.get(), SFC_SET_ADD_PEAK_CHUNK, nullptr, SF_FALSE);  // it would hold the time of writing
    written = sf_writef_double(out.get(), samples.data_ptr<double>(), samples.size(0));
  } else if (out) {
    const double steps = std::exp2(sound.format.bits - 1);
    const Tensor integers = ((samples * steps).round().clamp(-steps, steps - 1) * (2147483648.0 / steps)).to(torch::kInt32);
    written = sf_writef_int(out.get(), integers.data_ptr<std::int32_t>(), samples.size(0));
  }
  if (written != samples.size(0)) throw std::runtime_error(file.string() + " cannot be written: " + sf_strerror(out.get()));
}

}  // namespace
}  // namespace zstar_signals
