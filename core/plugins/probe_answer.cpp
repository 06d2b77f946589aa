/// \file The child of a probe: loads one file as a run would, and says how far it came.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <stdexcept>

#include "core/plugins/probe.hpp"
#include "zstar/guard.hpp"

namespace zstar::plugins {
namespace {

constexpr rlim_t processor_seconds = 20;

/// Writes fields of the answer as they become known, so that they outlive what comes next.
class Answer {
 public:
  explicit Answer(std::string nonce) : nonce_(std::move(nonce)) {}
  void stage(const std::string& text) const { write("while " + text + field_end); }
  [[noreturn]] void end(const std::string& code, const std::vector<std::string>& rest) const {
    std::string text = nonce_ + field_end + code + field_end;
    for (const std::string& field : rest) text += field + field_end;
    write(text + nonce_);
    ::_exit(0);  // no destructor of a plugin runs
  }

 private:
  static void write(const std::string& text) {
    if (::write(probe_descriptor, text.data(), text.size()) < 0) ::_exit(1);
  }
  std::string nonce_;
};

/// What a part may ask for, as far as it exists without an experiment.
class ProbeHost final : public Host {
 public:
  explicit ProbeHost(Catalogue& catalogue) : catalogue_(catalogue) {}
  Products& products() override { return lacking<Products>("inner products"); }
  std::unique_ptr<Solver> solver(const Part& part) override {
    try {
      return catalogue_.create<Solver>(Kind::solver, part.name, part.settings, *this);
    } catch (const PluginError&) {
      lacked = true;  // it is another file's
      throw;
    }
  }
  std::shared_ptr<EquilibriumLayer> layer() override { return lacking<std::shared_ptr<EquilibriumLayer>>("a layer"); }
  std::shared_ptr<Norm> norm() override { return nullptr; }
  const Description& data() override { return lacking<Description>("a data set"); }
  void warn(std::string_view) override {}

  bool lacked = false;

 private:
  template <class T>
  T& lacking(const char* what) {
    lacked = true;
    throw std::logic_error(std::string("a probe has no ") + what);
  }
  Catalogue& catalogue_;
};

Settings defaults(const std::vector<OptSpec>& specs) {
  Settings settings;
  for (const OptSpec& s : specs) settings.push_back({s.name, s.def});
  return settings;
}

/// Settings that make a part of the SDK throw: an option of another type than declared. \return nothing if no option can do that
Settings unfit(const std::vector<OptSpec>& specs) {
  for (const OptSpec& s : specs) {
    if (s.type == OptType::part || s.type == OptType::parts) continue;
    return {{s.name, s.type == OptType::boolean ? OptValue(std::string("unfit")) : OptValue(true)}};
  }
  return {};
}

/// Creates a part with its defaults. \return why that cannot be, if the part alone is to blame
std::string fault(Catalogue& catalogue, const PartEntry& part) {
  ProbeHost host(catalogue);
  const bool needs_more = part.kind == Kind::model || part.kind == Kind::dataset;  // a layer, a path
  try {
    catalogue.create<Object>(part.kind, part.name, defaults(catalogue.options(part.kind, part.name)), host);
  } catch (const OptionError&) {
    return "";  // one that has no default
  } catch (const PluginError& error) {
    return host.lacked || needs_more ? "" : error.what();
  } catch (const std::runtime_error&) {
    return "";  // not enough memory: no fault of the part
  }
  return "";
}

/// An exception that cannot leave its library kills the process here and not in a run.
void make_one_throw(Catalogue& catalogue) {
  ProbeHost host(catalogue);
  for (const PartEntry& part : catalogue.parts()) {
    const Settings settings = unfit(catalogue.options(part.kind, part.name));
    if (settings.empty()) continue;
    try {
      catalogue.create<Object>(part.kind, part.name, settings, host);
    } catch (const std::exception&) {
    }
    return;
  }
}

void limit_processor_time_and_core() {
  const rlimit none{0, 0}, time{processor_seconds, processor_seconds + 1};
  ::setrlimit(RLIMIT_CORE, &none);
  ::setrlimit(RLIMIT_CPU, &time);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
}

}  // namespace

void answer_probe(const std::string& file, const std::string& nonce) {
  limit_processor_time_and_core();
  const Answer answer(nonce);
  std::vector<std::string> rest;
  try {
    Discovery alone;
    alone.user_folders = false;
    alone.files = {file};
    Catalogue catalogue(alone);
    answer.stage("loading");
    catalogue.load_file(0);
    for (const PartEntry& part : catalogue.parts()) {
      answer.stage("creating " + std::string(to_string(part.kind)) + " \"" + part.name + '"');
      if (const std::string f = fault(catalogue, part); !f.empty()) rest.push_back('f' + f);
    }
    answer.stage("an exception was to leave it");
    make_one_throw(catalogue);
    for (const std::string& w : catalogue.warnings()) rest.push_back('w' + w);
    answer.stage("answering");
  } catch (const PluginError& error) {
    answer.end(error.code(), {error.what()});
  } catch (...) {
    answer.end("Z152", {file + ": error: " + current_exception_text() + " [Z152]"});
  }
  answer.end("good", rest);
}

}  // namespace zstar::plugins
