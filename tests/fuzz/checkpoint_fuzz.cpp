/// \file Checkpoints: bytes → tensors or a sentence. The checksum is also made right again, so that what lies behind it is reached.
#include <openssl/evp.h>
#include <torch/types.h>

#include "core/runs/checkpoint.hpp"
#include "core/runs/folder.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

void load(const std::string& bytes) {
  try {
    zstar::runs::load(zstar::fuzz::as_file(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()));
  } catch (const zstar::runs::RunError&) {
  }
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  const auto file = std::filesystem::path(zstar::fuzz::as_file(nullptr, 0)).replace_extension("ckpt");
  zstar::runs::Checkpoint checkpoint;
  checkpoint.state = R"({"step": 3, "names": ["a", "b"], "loss": 0.5})";
  checkpoint.tensors["model/W"] = at::arange(6, at::kDouble).view({2, 3});
  checkpoint.tensors["model/b"] = at::zeros({0, 2});
  checkpoint.tensors["random/cpu"] = at::arange(16, at::kLong).to(at::kByte);
  zstar::runs::save(checkpoint, file);
  std::vector<std::string> seeds{zstar::fuzz::read_whole(file)};
  std::filesystem::remove(file);
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  load(bytes);
  constexpr std::size_t checksum = 32;
  if (size < checksum) return 0;
  EVP_Digest(bytes.data(), size - checksum, reinterpret_cast<unsigned char*>(bytes.data() + size - checksum), nullptr, EVP_sha256(), nullptr);
  load(bytes);
  return 0;
}
