/// \file Files of other programs: bytes → tensors or a sentence, for pickles, torch.save's two forms, zip, npz and safetensors.
#include "tests/fuzz/fuzz.hpp"
#include "zstar/formats/safetensors.hpp"

namespace {

using namespace zstar::formats;

template <class F>
void attempt(const F& read) {
  try {
    read();
  } catch (const FormatError&) {
  }
}

std::string file_of(const std::vector<std::pair<std::string, std::string>>& entries) {
  const auto file = std::filesystem::path(zstar::fuzz::as_file(nullptr, 0)).replace_extension("zip");
  write_zip(file, entries);
  const std::string bytes = zstar::fuzz::read_whole(file);
  std::filesystem::remove(file);
  return bytes;
}

std::string state_dict(const std::vector<std::pair<std::string, Tensor>>& tensors) {
  const auto file = std::filesystem::path(zstar::fuzz::as_file(nullptr, 0)).replace_extension("pth");
  write_state_dict(file, tensors);
  const std::string bytes = zstar::fuzz::read_whole(file);
  std::filesystem::remove(file);
  return bytes;
}

/// The older form of a dict with one tensor of four numbers.
std::string older(const std::string& storage) {
  PickleWriter object;
  object.raw("\x80\x02}").text("w").global("torch._utils", "_rebuild_tensor_v2").raw("((").text("storage").global("torch", storage).text("7").text("cuda:0").integer(4);
  object.raw("NtQ").integer(0).tuple({2, 2}).tuple({2, 1}).raw("\x89NtRs.");
  const std::string magic("\x80\x02\x8a\nl\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}X\r\0\0\0little_endian\x88s.", 45);
  return magic + object.bytes() + std::string("\x80\x02]X\1\0\0\0" "7a.\4\0\0\0\0\0\0\0", 20) + std::string(16, '\1');
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  const std::vector<std::pair<std::string, Tensor>> tensors{{"w", at::arange(6, at::kDouble).view({2, 3})}, {"b", at::zeros({0, 2})}, {"n", at::ones({}, at::kLong)}};
  const std::string npy = npy_bytes(tensors[0].second);
  return {safetensors_bytes(tensors), state_dict(tensors), file_of({{"w.npy", npy}, {"b.npy", npy_bytes(tensors[1].second)}}), npy, older("FloatStorage"),
          "(lp0\nI1\naL-5L\naF2.5\naS'a\\x41\\n'\nag0\na.", "\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01x\x94K\x01u."};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes(data, data + size);
  const std::string_view text = as_text(bytes);
  attempt([&] { read_tensors(bytes); });
  attempt([&] { read_npy(text); });
  attempt([&] { array_of(Pickle(text).root()); });
  attempt([&] { TorchFile(bytes).named("a/b"); });
  return 0;
}
