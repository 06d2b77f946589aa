/// \file zstar data show: what a file or folder of data is.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <sstream>

#include "core/app/command.hpp"
#include "core/experiment/spec_text.hpp"
#include "core/training/session.hpp"
#include "core/training/splits.hpp"
#include "zstar/formats/safetensors.hpp"
#include "zstar/guard.hpp"

namespace zstar::app {
namespace {

namespace fs = std::filesystem;

const std::string of_dataset = "dataset.";  // the table of an experiment whose settings these are

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

formats::Tensors arrays_of(const fs::path& file, const std::string& key) {
  return formats::about(file, [&] {
    const formats::Bytes bytes = formats::read_file(file);
    if (formats::as_text(bytes).substr(0, 6) == "\x93NUMPY") return formats::refuse_key(key, "npy"), formats::Tensors{{"array", formats::read_npy(formats::as_text(bytes))}};
    return formats::read_tensors(bytes, key);
  });
}

void show_arrays(const fs::path& file, const std::string& key) {
  const auto tensors = arrays_of(file, key);
  std::cout << file.string() << ": " << tensors.size() << (tensors.size() == 1 ? " tensor\n" : " tensors\n");
  for (const auto& [name, t] : tensors) std::cout << "  " << name << ": " << shape_and_range(t) << '\n';
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

/// The names of the settings "key=value", or "dataset.key=value" as an experiment has them.
std::vector<std::string> keys_of(const std::vector<std::string>& settings) {
  std::vector<std::string> keys;
  for (const std::string& s : settings) {
    if (s.find('=') == std::string::npos) throw WordError("'" + s + "' is no setting", "key=value", {}, "write for example -s graph=citeseer");
    keys.push_back(s.substr(0, s.find('=')));
    if (keys.back().compare(0, of_dataset.size(), of_dataset) == 0) keys.back().erase(0, of_dataset.size());
  }
  return keys;
}

/// The data sets that read files: their options have a path.
struct Readers {
  plugins::Catalogue catalogue;
  training::CatalogueTables tables{catalogue};
  std::vector<std::string> names, keys;  ///< of the data sets; of all of their options
  std::string refusals;                  ///< of those that understand nothing of the path, a line each
  std::string unread;                    ///< what the first one said that understands the path, but cannot read a sample

  explicit Readers(const Arguments& arguments) : catalogue(discovery(arguments)) {
    for (const std::string& name : catalogue.names(Kind::dataset)) {
      try {
        if (!has(name, "path")) continue;
        names.push_back(name);
        for (const OptSpec& o : catalogue.options(Kind::dataset, name)) keys.push_back(o.name);
      } catch (const plugins::PluginError& error) {  // one that cannot be used keeps no other from answering
        refusals += "  " + std::string(error.what()) + '\n';
      }
    }
  }
  bool has(const std::string& name, const std::string& key) {
    const auto& options = catalogue.options(Kind::dataset, name);
    return std::any_of(options.begin(), options.end(), [&](const OptSpec& o) { return o.name == key; });
  }

  /// The data set of a path; its settings are those of an experiment's `[dataset]`, and are checked as these.
  std::unique_ptr<Dataset> make(const std::string& name, const fs::path& path, const std::vector<std::string>& settings, Host& host) {
    experiment::Schema schema = training::schema();
    std::erase_if(schema, [](const experiment::SectionSpec& s) { return s.name != "dataset"; });
    std::vector<std::string> overrides{of_dataset + "name=" + experiment::to_toml_value(name), of_dataset + "path=" + experiment::to_toml_value(path.string())};
    for (const std::string& s : settings) overrides.push_back(s.compare(0, of_dataset.size(), of_dataset) == 0 ? s : of_dataset + s);
    const auto checked = experiment::Experiment::parse("", "data show", overrides, schema, tables);
    const experiment::Section& own = checked.at("dataset");
    try {
      return catalogue.create<Dataset>(Kind::dataset, name, own.options, host);
    } catch (const OptionError& error) {
      throw checked.refusal(own, error);
    }
  }
};

/// The data sets to be asked: that of `--as`, or all that have the options that are set.
std::vector<std::string> asked(Readers& readers, const Arguments& arguments) {
  if (const std::string only = arguments.text("as"); !only.empty()) {
    if (std::find(readers.names.begin(), readers.names.end(), only) != readers.names.end()) return {only};
    throw WordError("no data set that reads files is called '" + only + "'", quoted(readers.names), nearest(only, readers.names), "name one of them, or leave --as out: all are asked then");
  }
  std::vector<std::string> names = readers.names;
  for (const std::string& key : keys_of(arguments.list("set"))) {
    if (std::find(readers.keys.begin(), readers.keys.end(), key) == readers.keys.end())
      throw WordError("no data set that reads files has the option '" + key + "'", "an option of a data set", nearest(key, readers.keys), "'zstar plugins show NAME' explains the options of one");
    std::erase_if(names, [&](const std::string& name) { return !readers.has(name, key); });
  }
  return names;
}

std::string described(const std::string& name, const Dataset& data) {
  std::ostringstream text;
  text << "data set " << name << ':';
  for (const auto& [what, n] : data.describe().sizes) text << ' ' << what << ' ' << n;
  text << '\n';
  for (const Split split : training::splits) {
    const std::int64_t n = data.size(split);
    if (n == 0) continue;
    text << training::name_of(split) << ": " << n << (n == 1 ? " sample" : " samples") << ", the first batch:\n";
    const auto batches = data.batches(split, 128, 0);
    for (const auto& [tensor, t] : data.load(split, batches.front(), 0).tensors) {
      text << "  " << tensor << ": " << shape_and_range(t) << '\n';
      if (tensor == "mask") text << "    " << t.sum().item<std::int64_t>() << " true\n";
    }
  }
  return text.str();
}

/// A line with what the exception being handled says, without place and remedy.
std::string refusal(const std::string& who) {
  std::string what;
  try {
    throw;
  } catch (const experiment::Refused& error) {
    what = error.details().empty() ? error.what() : error.details().front().what;
  } catch (const plugins::NotCreated& error) {
    what = error.words();
  } catch (...) {
    what = current_exception_text();
  }
  const std::string twice = "dataset '" + who + "', ";
  if (what.compare(0, twice.size(), twice) == 0) what.erase(0, twice.size());
  return "  " + who + ": " + what.substr(0, what.find('\n')) + '\n';
}

/// What a data set said of its files, as an error.
std::string fault(const std::string& name, const std::string& words) {
  const bool settled = words.find("\n  remedy: ") != std::string::npos;
  return "data set " + name + ": " + words + (settled ? "" : "\n  remedy: look at the files that it reads; 'zstar plugins show " + name + "' explains its options");
}

/// The data set of a path, if it understands it; else its refusal is kept. \param alone  no other is asked: its refusal is the error
std::unique_ptr<Dataset> made(Readers& readers, const std::string& name, const fs::path& path, const std::vector<std::string>& settings, bool alone, Host& host) {
  try {
    return readers.make(name, path, settings, host);
  } catch (const plugins::NotCreated& error) {
    if (alone) throw std::runtime_error(fault(name, error.words()));
    readers.refusals += refusal(name);
  } catch (...) {
    if (alone) throw;
    readers.refusals += refusal(name);
  }
  return nullptr;
}

/// A data set describes a file or folder, if it understands it.
bool show_as(Readers& readers, const std::string& name, const fs::path& path, const std::vector<std::string>& settings, bool alone) {
  std::vector<std::string> warnings;
  DataHost host(warnings);
  const auto data = made(readers, name, path, settings, alone, host);
  if (!data) return false;
  try {
    std::cout << described(name, *data);
  } catch (...) {
    if (readers.unread.empty()) readers.unread = fault(name, current_exception_text());
    return false;
  }
  for (const std::string& w : warnings) std::cout << "warning: " << w << '\n';
  return true;
}

/// The files of arrays that lie in a folder. \return whether there is one
bool show_arrays_of(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_regular_file()) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return std::count_if(files.begin(), files.end(), [](const fs::path& file) {
    try {
      return show_arrays(file, ""), true;
    } catch (...) {  // something else, which a data set may understand
      return false;
    }
  }) > 0;
}

/// Says of a file of arrays which data sets read it.
void name_readers(Readers& readers, const std::vector<std::string>& names, const fs::path& path) {
  std::vector<std::string> warnings;
  DataHost host(warnings);
  for (const std::string& name : names)
    if (made(readers, name, path, {}, /*alone=*/false, host)) std::cout << "data set " << name << " reads it: --as " << name << '\n';
}

/// A file of arrays is shown as it is, alone or in a folder; of anything else every data set is asked, and those that understand it describe it.
int show(const fs::path& path, const Arguments& arguments) {
  const bool folder = fs::is_directory(path);
  if (!folder && arguments.has("key")) return show_arrays(path, arguments.text("key")), done;
  Readers readers(arguments);
  const std::vector<std::string> names = asked(readers, arguments), settings = arguments.list("set");
  if (!folder && !arguments.has("as") && settings.empty()) try {
      show_arrays(path, "");
      return name_readers(readers, names, path), done;
    } catch (...) {
      readers.refusals += refusal("arrays");
    }
  bool known = folder && settings.empty() && !arguments.has("as") && show_arrays_of(path);
  for (const std::string& name : names) known |= show_as(readers, name, path, settings, names.size() == 1);
  if (!known && !readers.unread.empty()) throw std::runtime_error(readers.unread);
  if (!readers.unread.empty()) std::cerr << "zstar: warning: " << readers.unread << '\n';
  if (known) return done;
  std::cerr << "zstar: error: no data set understands " << path.string() << '\n' << readers.refusals
            << "  remedy: name the data set and its options: --as planetoid -s graph=citeseer\n";
  return failed;
}

int data(const Arguments& arguments) {
  const auto words = arguments.list("words");
  if (words.size() != 2 || words[0] != "show") throw po::error("'show' and one file or folder were expected");
  const fs::path path = words[1];
  if (!fs::exists(path)) throw WordError("'" + path.string() + "' is not there", "a file or folder of data", {}, "look at the path");
  return show(path, arguments);
}

}  // namespace

Command data_command() {
  po::options_description options("options");
  options.add_options()("words", po::value<std::vector<std::string>>()->value_name("show PATH"), "show, and a file or folder")(
      "as", value_of("DATASET"), "ask this data set alone")("set,s", values_of("key=value"), "an option of the data set; may be repeated")(
      "key", value_of("KEY"), "a file of torch.save: where in it");
  add_plugin_options(options);
  return {"data", "data show PATH [--as DATASET] [-s key=value …]", "what a file or folder of data is",
          "Files of arrays (npy, npz, torch.save, safetensors): names, types, shapes, ranges. Of any other file, and of a folder, every data\n"
          "set is asked, and those that understand it tell sizes, splits, and the tensors of a batch. Settings are those of an experiment's\n"
          "[dataset], and are checked as these are.", {"words"}, std::move(options), data,
          {{"data show model.pth --key state_dict", "the tensors of a Python checkpoint"},
           {"data show planetoid --as planetoid -s graph=citeseer", "Citeseer's sizes, splits and traps"}},
          [](const Arguments&, const std::vector<std::string>& given) { return given.empty() ? std::vector<std::string>{"show"} : std::vector<std::string>{}; }};
}

}  // namespace zstar::app
