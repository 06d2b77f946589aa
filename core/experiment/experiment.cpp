#include "core/experiment/experiment.hpp"

#include <algorithm>
#include <cstring>
#include <sstream>

#include "core/experiment/check.hpp"
#include "core/experiment/spec_text.hpp"

namespace zstar::experiment {
namespace {

std::string joined(const std::vector<std::string>& messages) {
  std::string text;
  for (const std::string& m : messages) text += (text.empty() ? "" : "\n") + m;
  return text;
}

}  // namespace

Refused::Refused(std::vector<std::string> messages, std::vector<Message> details)
    : std::runtime_error(joined(messages)), messages_(std::move(messages)), details_(std::move(details)) {}

void Experiment::finish(Merged merged, const std::string& source, const std::vector<std::string>& overrides, const Schema& schema, const PartTables& parts) {
  const bool whole = sources_.empty();
  for (const std::string& o : overrides)
    if (whole || merged.root.contains(o.substr(0, o.find_first_of(".=")))) apply_override(merged, o, sources_);
  Checker checker(parts, sources_, origins_, whole);
  sections_ = checker.check(merged, schema);
  notes_ = checker.notes();
  if (sources_.empty()) return;
  auto messages = sources_.formatted();
  for (std::string& m : messages)
    if (m.compare(0, 8, ": error:") == 0) m = source + m;
  throw Refused(std::move(messages), sources_.sorted());
}

std::vector<Fault> PartTables::accept(const Section&) const { return {}; }
std::vector<PartRefusal> PartTables::make(const std::vector<Section>&) const { return {}; }
std::string PartTables::idle(const Section&, const Section&) const { return {}; }

const Section* Section::find_nested(std::string_view key) const {
  for (const Section& s : nested)
    if (s.name == key) return &s;
  return nullptr;
}

Experiment Experiment::read(const std::filesystem::path& file, const std::vector<std::string>& overrides, const Schema& schema,
                            const PartTables& parts) {
  Experiment result;
  result.finish(merge_file(file, result.sources_), file.string(), overrides, schema, parts);
  return result;
}

Experiment Experiment::parse(std::string_view text, const std::string& name, const std::vector<std::string>& overrides,
                             const Schema& schema, const PartTables& parts) {
  Experiment result;
  result.finish(merge_text(text, name, result.sources_), name, overrides, schema, parts);
  return result;
}

Fault fault_of(const OptionError& error) {
  const std::string sentence = error.what();
  const std::size_t advice = sentence.rfind("; ");
  Fault fault{error.option(), sentence.substr(0, advice)};
  if (advice == std::string::npos) return fault;
  const bool says_what = sentence.compare(advice + 2, 9, "expected ") == 0;
  (says_what ? fault.expected : fault.remedy) = sentence.substr(advice + (says_what ? 11 : 2));
  return fault;
}

Fault fault_of(const std::string& message) {
  Fault fault;
  std::string* part = &fault.what;
  std::istringstream lines(message);
  for (std::string line; std::getline(lines, line);) {
    for (const auto& [word, of_word] : {std::pair("  expected: ", &fault.expected), std::pair("  did you mean: ", &fault.did_you_mean), std::pair("  remedy: ", &fault.remedy)})
      if (line.compare(0, std::strlen(word), word) == 0) part = of_word, line.erase(0, std::strlen(word));
    *part += (part->empty() ? "" : "\n") + line;
  }
  if (!fault.did_you_mean.empty() && fault.did_you_mean.back() == '?') fault.did_you_mean.pop_back();
  return fault;
}

Refused Experiment::refusal(const Section& section, const OptionError& error) const {
  const Message message = refused_option(section, error, origins_, place_of(section));
  return Refused({sources_.format(message)}, {message});
}

std::string Experiment::sentence(const Section& section, const Fault& fault) const {
  return sources_.format({place_of(section), fault.what, fault.expected, fault.did_you_mean, fault.remedy});
}

Place Experiment::place_of(const Section& section) const { return section.place.source.empty() ? Place{sources_.sources().front()} : section.place; }

const Section* Experiment::find(std::string_view name) const {
  for (const Section& s : sections_)
    if (s.name == name) return &s;
  return nullptr;
}

const Section& Experiment::at(std::string_view name) const {
  if (const Section* s = find(name)) return *s;
  throw std::logic_error("the experiment has no section '" + std::string(name) + "'");
}

std::vector<const Section*> Experiment::all(std::string_view name) const {
  std::vector<const Section*> found;
  for (const Section& s : sections_)
    if (s.name == name) found.push_back(&s);
  return found;
}

namespace {

class Writer {
 public:
  Writer(const Origins& origins, bool with_origins) : origins_(origins), with_origins_(with_origins) {}

  void section(const Section& s, const std::string& header, const std::string& path) {
    text_ += (text_.empty() ? "" : "\n") + header + "\n";
    body(s, path);
    for (const Section& inner : s.nested)
      if (!inner.idle) section(inner, "[" + header_path(header) + "." + inner.name + "]", path + "." + inner.name);
  }
  const std::string& text() const { return text_; }

 private:
  static std::string header_path(const std::string& header) {
    const std::size_t begin = header.find_first_not_of('['), end = header.find(']');
    return header.substr(begin, end - begin);
  }
  void line(const std::string& key, const std::string& value, const std::string& path) {
    if (value.empty()) return;  // unset
    std::string row = key + " = " + value;
    if (with_origins_)
      for (const auto& [dotted, place] : origins_)
        if (dotted == path + "." + key) row += std::string(row.size() < 36 ? 36 - row.size() : 1, ' ') + "# " + place.text();
    text_ += row + "\n";
  }
  void body(const Section& s, const std::string& path) {
    if (!s.part.empty()) line("name", to_toml_value(s.part), path);
    for (const Settings* settings : {&s.framework, &s.options})
      for (const Setting& o : *settings) line(o.name, to_toml_value(o.value), path);
  }

  const Origins& origins_;
  bool with_origins_;
  std::string text_;
};

}  // namespace

std::string Experiment::to_toml(bool origins) const {
  Writer writer(origins_, origins);
  for (const Section& s : sections_) writer.section(s, s.path == s.name ? "[" + s.name + "]" : "[[" + s.name + "]]", s.path);
  return writer.text();
}

}  // namespace zstar::experiment
