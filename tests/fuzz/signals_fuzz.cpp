/// \file Sounds and pictures: a file → a data set or a sentence, for WAV, PNG and JPEG, as the parts that users name read them.
#include <turbojpeg.h>

#include "tests/fuzz/fuzz.hpp"
#include "tests/support/parts.hpp"
#include "zstar/abi/dataset.hpp"
#include "zstar/render.hpp"

namespace {

using namespace zstar;

/// The files of a signal that its data set generates.
std::string rendered(const std::string& name, const Settings& settings) {
  const auto data = test::make<Dataset>(Kind::dataset, name, settings);
  const std::int64_t n = data->size(Split::train);
  const Batch all = data->load(Split::train, data->batches(Split::train, n, 1)[0], 1);
  const auto files = query<Renders>(*data)->render(Split::train, all.at("values"), fuzz::as_file(nullptr, 0).parent_path().string());
  std::string bytes = fuzz::read_whole(files[0]);
  std::filesystem::remove(files[0]);
  return bytes;
}

std::string jpeg() {
  const std::vector<unsigned char> pixels(16 * 16 * 3, 99);
  const std::unique_ptr<void, int (*)(tjhandle)> encoder(tjInitCompress(), tjDestroy);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  tjCompress2(encoder.get(), pixels.data(), 16, 0, 16, TJPF_RGB, &bytes, &size, TJSAMP_444, 80, 0);
  const std::string text(reinterpret_cast<const char*>(bytes), size);
  tjFree(bytes);
  return text;
}

void attempt(const std::string& name, const std::filesystem::path& file) {
  try {
    const auto data = test::make<Dataset>(Kind::dataset, name, {{"path", file.string()}});
    data->load(Split::train, {0}, 1);
  } catch (const std::runtime_error& refusal) {
    if (std::string(refusal.what()).find(file.string()) == std::string::npos) throw;  // a refusal names its file
  } catch (const OptionError&) {
  }
}

}  // namespace

std::vector<std::string> fuzz_seeds() { return {rendered("audio", {{"seconds", 0.2}}), rendered("image", {{"size", std::int64_t{32}}}), jpeg()}; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto& file = fuzz::as_file(data, size);
  attempt("audio", file);
  attempt("image", file);
  return 0;
}
