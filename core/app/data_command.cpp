/// \file zstar data show: what a file or folder of data is.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <sstream>

#include "core/app/command.hpp"
#include "core/training/session.hpp"
#include "zstar/formats/safetensors.hpp"
#include "zstar/guard.hpp"

namespace zstar::app {
namespace {

namespace fs = std::filesystem;

/// "float32 [3, 4], −1.5 … 2"
std::string shape_and_range(const Tensor& t) {
  std::ostringstream text;
  text << c10::toString(t.scalar_type()) << ' ' << t.sizes();
  if (t.numel() == 0) return text.str();
  const Tensor numbers = t.to(torch::kFloat64);
  text << ", " << numbers.min().item<double>() << " … " << numbers.max().item<double>();
  if (!torch::isfinite(numbers).all().item<bool>()) text << ", not all finite";
  return text.str();
}

void print(const std::string& name, const Tensor& t) { std::cout << "  " << name << ": " << shape_and_range(t) << '\n'; }

void show_file(const fs::path& file, const std::string& key) {
  const auto tensors = formats::about(file, [&] {
    const formats::Bytes bytes = formats::read_file(file);
    if (formats::as_text(bytes).substr(0, 6) == "\x93NUMPY") return formats::Tensors{{"array", formats::read_npy(formats::as_text(bytes))}};
    return formats::read_tensors(bytes, key);
  });
  std::cout << file.string() << ": " << tensors.size() << (tensors.size() == 1 ? " tensor\n" : " tensors\n");
  for (const auto& [name, t] : tensors) print(name, t);
}

/// What data sets may ask of a host.
class DataHost final : public Host {
 public:
  explicit DataHost(std::vector<std::string>& warnings) : warnings_(warnings) {}
  Products& products() override { throw std::logic_error("a data set has no use for products"); }
  std::unique_ptr<Solver> solver(const Part&) override { throw std::logic_error("a data set has no use for a solver"); }
  std::shared_ptr<EquilibriumLayer> layer() override { throw std::logic_error("a data set has no use for a layer"); }
  std::shared_ptr<Norm> norm() override { return nullptr; }
  const Description& data() override { throw std::logic_error("a data set has no use for another"); }
  void warn(std::string_view sentence) override { warnings_.emplace_back(sentence); }

 private:
  std::vector<std::string>& warnings_;
};

/// Settings "key=value" for the options of a part; numbers and truth values by the option's type.
Settings settings_of(const std::vector<OptSpec>& options, const std::vector<std::string>& words) {
  Settings settings;
  for (const std::string& word : words) {
    const auto equals = word.find('=');
    if (equals == std::string::npos) throw po::error("'" + word + "' is no setting; expected key=value");
    const std::string key = word.substr(0, equals), value = word.substr(equals + 1);
    const auto option = std::find_if(options.begin(), options.end(), [&](const OptSpec& o) { return o.name == key; });
    if (option == options.end()) throw OptionError(key, "there is no option '" + key + "'");
    if (option->type == OptType::text) settings.push_back({key, value});
    else if (option->type == OptType::integer) settings.push_back({key, static_cast<std::int64_t>(std::stoll(value))});
    else if (option->type == OptType::real) settings.push_back({key, std::stod(value)});
    else if (option->type == OptType::boolean) settings.push_back({key, value == "true"});
    else throw po::error("the option '" + key + "' cannot be set here");
  }
  return settings;
}

void describe(const std::string& name, const Dataset& data) {
  std::cout << "data set " << name << ':';
  for (const auto& [what, n] : data.describe().sizes) std::cout << ' ' << what << ' ' << n;
  std::cout << '\n';
  for (const auto& [split, word] : {std::pair(Split::train, "train"), std::pair(Split::validation, "validation"), std::pair(Split::test, "test")}) {
    const std::int64_t n = data.size(split);
    if (n == 0) continue;
    std::cout << word << ": " << n << (n == 1 ? " sample" : " samples") << ", the first batch:\n";
    const auto batches = data.batches(split, 128, 0);
    for (const auto& [tensor, t] : data.load(split, batches.front(), 0).tensors) {
      print(tensor, t);
      if (tensor == "mask") std::cout << "    " << t.sum().item<std::int64_t>() << " true\n";
    }
  }
}

/// Every data set that takes a path is asked; those that understand the folder describe it.
int show_folder(const fs::path& folder, const Arguments& arguments) {
  plugins::Catalogue catalogue(discovery(arguments));
  const std::string only = arguments.text("as");
  int known = 0;
  std::string refusals;
  for (const std::string& name : catalogue.names(Kind::dataset)) {
    const auto options = catalogue.options(Kind::dataset, name);
    const bool takes_path = std::any_of(options.begin(), options.end(), [](const OptSpec& o) { return o.name == "path"; });
    if (!takes_path || (!only.empty() && name != only)) continue;
    std::vector<std::string> warnings;
    DataHost host(warnings);
    try {
      Settings settings = settings_of(options, arguments.list("set"));
      settings.push_back({"path", folder.string()});
      const auto data = catalogue.create<Dataset>(Kind::dataset, name, settings, host);
      describe(name, *data);
      for (const std::string& w : warnings) std::cout << "warning: " << w << '\n';
      ++known;
    } catch (const po::error&) {
      throw;
    } catch (...) {
      refusals += "  " + name + ": " + current_exception_text() + '\n';
    }
  }
  if (known > 0) return done;
  std::cerr << "zstar: error: no data set understands " << folder.string() << '\n' << refusals
            << "  remedy: name the data set and its options: --as planetoid -s graph=citeseer\n";
  return failed;
}

int data(const Arguments& arguments) {
  const auto words = arguments.list("words");
  if (words.size() != 2 || words[0] != "show") throw po::error("'show' and one file or folder were expected");
  const fs::path path = words[1];
  if (!fs::exists(path)) throw WordError("'" + path.string() + "' is not there", "a file or folder of data", {}, "look at the path");
  if (fs::is_directory(path)) return show_folder(path, arguments);
  show_file(path, arguments.text("key"));
  return done;
}

}  // namespace

Command data_command() {
  po::options_description options("options");
  options.add_options()("words", po::value<std::vector<std::string>>()->value_name("show PATH"), "show, and a file or folder")(
      "as", value_of("DATASET"), "a folder: ask this data set alone")("set,s", values_of("key=value"), "an option of the data set; may be repeated")(
      "key", value_of("KEY"), "a file of torch.save: where in it");
  add_plugin_options(options);
  return {"data", "data show PATH [--as DATASET] [-s key=value …]", "what a file or folder of data is",
          "A file of arrays (npy, npz, torch.save, safetensors): names, types, shapes, ranges. A folder: every data set is asked, and those\n"
          "that understand it tell sizes, splits, and the tensors of a batch.", {"words"}, std::move(options), data,
          {{"data show model.pth --key state_dict", "the tensors of a Python checkpoint"},
           {"data show planetoid --as planetoid -s graph=citeseer", "Citeseer's sizes, splits and traps"}},
          [](const Arguments&, const std::vector<std::string>& given) { return given.empty() ? std::vector<std::string>{"show"} : std::vector<std::string>{}; }};
}

}  // namespace zstar::app
