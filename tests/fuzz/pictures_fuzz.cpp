/// \file Data sets of many files of pictures, flow and lists: one file is damaged, the others are good → a data set, or a sentence that names a file.
#include <unistd.h>

#include <fstream>
#include <map>

#include <turbojpeg.h>
#ifdef ZSTAR_LMDB
#include <lmdb.h>
#endif

#include "plugins/datasets/flow/files.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/support/parts.hpp"
#include "zstar/abi/dataset.hpp"

namespace {

using namespace zstar;
using namespace std::string_literals;
namespace fs = std::filesystem;

/// A file that is damaged, and how its set is opened. The first byte of an input is the number of the role.
struct Role {
  std::string dataset, root, file;
  Settings settings = {};
};

const fs::path& place() {
  static const fs::path path = fs::temp_directory_path() / ("zstar-fuzz-pictures-" + std::to_string(::getpid()));
  return path;
}

const std::vector<Role>& roles() {
  static const Settings small{{"size", std::int64_t{8}}}, marks{{"split_file", (place() / "chairs/split.txt").string()}}, crop{{"crop", std::vector<std::int64_t>{8, 8}}};
  static const std::vector<Role> all{
      {"celeba", "celeba", "list_eval_partition.txt", small}, {"celeba", "celeba", "img_align_celeba/000001.jpg", small},
      {"image_folder", "folders", "train/a/1.png", small}, {"image_folder", "folders", "train/b/2.jpg", small}, {"image_folder", "folders", "val/a/3.png", small},
      {"video_frames", "frames", "1.png"}, {"video_frames", "frames", "2.png"},
      {"flying_chairs", "chairs", "split.txt", marks}, {"flying_chairs", "chairs", "00001_img1.ppm", crop}, {"flying_chairs", "chairs", "00002_flow.flo"},
      {"hd1k", "hd1k", "hd1k_flow_gt/flow_occ/000000_0000.png", crop}, {"hd1k", "hd1k", "hd1k_input/image_2/000000_0001.png"},
      {"kitti_flow", "kitti", "training/flow_occ/000000_10.png"}, {"sintel", "sintel", "training/flow/a/frame_0001.flo", crop},
      {"flying_things", "things", "optical_flow/TRAIN/A/0000/into_past/left/OpticalFlowIntoPast_0002_L.pfm", crop},
#ifdef ZSTAR_LMDB
      {"lsun", "lsun", "church_outdoor_val_lmdb/data.mdb", small},
#endif
  };
  return all;
}

std::string png(std::int64_t height, std::int64_t width) {
  const std::string file = fuzz::as_file(nullptr, 0).string() + ".png";
  formats::write_png(file, torch::linspace(-1, 1, height * width * 3).view({height, width, 3}));
  std::string bytes = fuzz::read_whole(file);
  fs::remove(file);
  return bytes;
}

std::string jpeg(int height, int width) {
  const std::vector<unsigned char> pixels(static_cast<std::size_t>(height * width * 3), 99);
  const std::unique_ptr<void, int (*)(tjhandle)> encoder(tjInitCompress(), tjDestroy);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  tjCompress2(encoder.get(), pixels.data(), width, 0, height, TJPF_RGB, &bytes, &size, TJSAMP_444, 80, 0);
  const std::string text(reinterpret_cast<const char*>(bytes), size);
  tjFree(bytes);
  return text;
}

std::string sparse_flow() {
  const std::string file = fuzz::as_file(nullptr, 0).string() + ".png";
  zstar_flow_files::write_kitti_flow(file, torch::arange(2 * 8 * 16).view({2, 8, 16}).to(torch::kFloat32), torch::ones({8, 16}));
  std::string bytes = fuzz::read_whole(file);
  fs::remove(file);
  return bytes;
}

#ifdef ZSTAR_LMDB
/// A database of two levels; a small value lies in a page of the tree, a large one in pages of its own.
std::string database(const std::string& small, const std::string& large) {
  const fs::path file = place() / "database.mdb";
  MDB_env* environment = nullptr;
  MDB_txn* transaction = nullptr;
  MDB_dbi table = 0;
  bool good = mdb_env_create(&environment) == 0 && mdb_env_set_mapsize(environment, 1 << 22) == 0 &&
              mdb_env_open(environment, file.c_str(), MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOLOCK, 0644) == 0 && mdb_txn_begin(environment, nullptr, 0, &transaction) == 0 &&
              mdb_dbi_open(transaction, nullptr, 0, &table) == 0;
  for (int i = 0; i < 150 && good; ++i) {  // two levels of pages
    std::string name = "key" + std::to_string(1000 + i), text = i == 0 ? large : i == 1 ? small : "no picture";
    MDB_val key{name.size(), name.data()}, value{text.size(), text.data()};
    good = mdb_put(transaction, table, &key, &value, 0) == 0;
  }
  good = good && mdb_txn_commit(transaction) == 0;
  mdb_env_close(environment);
  if (!good) throw std::logic_error("no database can be written");
  std::string bytes = fuzz::read_whole(file);
  fs::remove(file);
  return bytes;
}
#endif

/// The folder of all files, as long as the program runs.
struct Folder {
  std::map<std::string, std::string> good;  ///< ROOT/FILE
  Folder();
  ~Folder() { fs::remove_all(place()); }
  static void write(const Role& role, std::string_view bytes) {
    std::ofstream(place() / role.root / role.file, std::ios::binary) << bytes;
  }
};

Folder::Folder() {
  const std::string image = png(8, 16), flow = zstar_flow_files::flo_bytes(torch::ones({8, 16, 2})), ppm = "P6 16 8 255\n" + std::string(8 * 16 * 3, 'x'), sparse = sparse_flow(),
                    pfm = "PF\n16 8\n-1.0\n" + std::string(8 * 16 * 12, '\1'), things = "things/frames_cleanpass/TRAIN/A/0000/left/", flows = "things/optical_flow/TRAIN/A/0000/";
  good = {{"celeba/list_eval_partition.txt", "000001.jpg 0\n000002.jpg 1\n"}, {"celeba/img_align_celeba/000001.jpg", jpeg(218, 178)}, {"celeba/img_align_celeba/000002.jpg", jpeg(218, 178)},
          {"folders/train/a/1.png", image}, {"folders/train/b/2.jpg", jpeg(9, 12)}, {"folders/val/a/3.png", image}, {"frames/1.png", image}, {"frames/2.png", image},
          {"chairs/split.txt", "1\n2\n"},
          {"kitti/training/image_2/000000_10.png", image}, {"kitti/training/image_2/000000_11.png", image}, {"kitti/training/flow_occ/000000_10.png", sparse},
          {"hd1k/hd1k_input/image_2/000000_0000.png", image}, {"hd1k/hd1k_input/image_2/000000_0001.png", image},
          {"hd1k/hd1k_flow_gt/flow_occ/000000_0000.png", sparse}, {"hd1k/hd1k_flow_gt/flow_occ/000000_0001.png", sparse},
          {"sintel/training/clean/a/frame_0001.png", image}, {"sintel/training/clean/a/frame_0002.png", image}, {"sintel/training/flow/a/frame_0001.flo", flow},
          {things + "0001.png", image}, {things + "0002.png", image}, {flows + "into_future/left/OpticalFlowIntoFuture_0001_L.pfm", pfm}, {flows + "into_past/left/OpticalFlowIntoPast_0002_L.pfm", pfm}};
  for (const char* pair : {"00001", "00002"}) good["chairs/"s + pair + "_img1.ppm"] = good["chairs/"s + pair + "_img2.ppm"] = ppm, good["chairs/"s + pair + "_flow.flo"] = flow;
#ifdef ZSTAR_LMDB
  fs::create_directories(place());
  good["lsun/church_outdoor_val_lmdb/data.mdb"] = database(image, jpeg(218, 178));
#endif
  for (const auto& [name, bytes] : good) {
    fs::create_directories((place() / name).parent_path());
    std::ofstream(place() / name, std::ios::binary) << bytes;
  }
}

const Folder& folder() {
  static const Folder all;
  return all;
}

void open(const Role& role) {
  Settings settings = role.settings;
  settings.push_back({"path", (place() / role.root).string()});
  try {
    const auto data = test::make<Dataset>(Kind::dataset, role.dataset, settings);
    for (const Split split : {Split::train, Split::validation, Split::test})
      for (std::int64_t i = 0; i < std::min<std::int64_t>(2, data->size(split)); ++i) data->load(split, {i}, 1);
  } catch (const OptionError&) {
  } catch (const std::runtime_error& refusal) {
    if (std::string(refusal.what()).find(place().string()) == std::string::npos) throw;  // a refusal names its file
  }
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds;
  for (std::size_t k = 0; k < roles().size(); ++k) seeds.push_back(static_cast<char>(k) + folder().good.at(roles()[k].root + "/" + roles()[k].file));
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Role& role = roles()[data[0] % roles().size()];
  Folder::write(role, {reinterpret_cast<const char*>(data) + 1, size - 1});
  open(role);
  Folder::write(role, folder().good.at(role.root + "/" + role.file));
  return 0;
}
