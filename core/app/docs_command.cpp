/// \file zstar docs: pages made from the option tables and the table of commands.
#include <filesystem>
#include <iostream>
#include <sstream>

#include "core/app/help.hpp"
#include "core/experiment/spec_text.hpp"
#include "core/runs/folder.hpp"
#include "core/solve/solve.hpp"
#include "core/training/session.hpp"

namespace zstar::app {
namespace {

namespace fs = std::filesystem;

/// Markdown takes '|' for the end of a cell.
std::string cell(std::string text) {
  for (std::size_t at = text.find('|'); at != std::string::npos; at = text.find('|', at + 2)) text.insert(at, "\\");
  return text;
}

std::string rows(const std::vector<OptSpec>& options) {
  if (options.empty()) return "No options.\n";
  std::string text = "| option | is | default | meaning |\n|---|---|---|---|\n";
  for (const OptSpec& o : options) {
    const std::string def = experiment::to_toml_value(o.def);
    text += "| `" + o.name + "` | " + cell(experiment::type_text(o)) + (o.unit.empty() ? "" : ", in " + o.unit) + " | " +
            (def.empty() ? "unset" : "`" + cell(def) + "`") + " | " + cell(o.doc) + " |\n";
  }
  return text;
}

/// All parts of a kind on one page.
std::string kind_page(plugins::Catalogue& catalogue, Kind kind) {
  const std::string word(plugins::to_string(kind));
  std::string text = "# Parts: " + word + "\n\nMade from the option tables by `zstar docs`.\n";
  for (const std::string& name : catalogue.names(kind)) {
    text += "\n## " + name + "\n\n" + std::string(catalogue.doc(kind, name)) + "\n\n";
    try {
      text += rows(catalogue.options(kind, name));
    } catch (const plugins::PluginError& error) {
      text += "It cannot be used here:\n\n```\n" + std::string(error.what()) + "\n```\n";
    }
  }
  return text;
}

void section(const experiment::SectionSpec& spec, const std::string& path, std::ostringstream& text) {
  text << "\n## " << (spec.array ? "[[" : "[") << path << (spec.array ? "]]" : "]") << "\n\n" << spec.doc;
  if (spec.kind) text << ". `name` is a " << plugins::to_string(*spec.kind) << ", whose options stand in the same table";
  if (!spec.default_part.empty()) text << "; `" << spec.default_part << "` by default";
  text << ".\n\n";
  if (!spec.framework.empty()) text << rows(spec.framework);
  for (const auto& [name, options] : spec.variants) text << "\n`name = \"" << name << "\"`:\n\n" << rows(options);
  for (const auto& inner : spec.nested) section(inner, path + "." + inner.name, text);
}

std::string sections_page() {
  std::ostringstream text;
  text << "# Sections of an experiment file\n\nThe framework's own keys, the same for every part; made from their tables by `zstar docs`.\n";
  for (const auto& spec : training::schema()) section(spec, spec.name, text);
  return text.str();
}

std::string reasons_page() {
  std::string text = "# Why a solve ends\n\nEach sample ends for one of these reasons; made from their table by `zstar docs`.\n\n"
                     "| reason | formula | that is | what to do |\n|---|---|---|---|\n";
  for (int r = 0; r < reason_count; ++r) {
    const auto& reason = solve::text_of(static_cast<Reason>(r));
    text += std::string("| ") + reason.name + " | " + cell(reason.formula) + " | " + cell(reason.sentence) + " | " + cell(reason.remedy) + " |\n";
  }
  return text;
}

int write_pages(const Arguments& arguments) {
  if (arguments.has("man")) {
    std::cout << manual();
    return done;
  }
  if (!arguments.has("folder")) throw po::error("docs takes a folder");
  const fs::path folder = arguments.text("folder");
  runs::make_folders(folder);
  plugins::Catalogue catalogue(discovery(arguments));
  std::vector<std::pair<std::string, std::string>> pages{{"program.md", manual_markdown()}, {"sections.md", sections_page()}, {"reasons.md", reasons_page()}};
  for (const Kind kind : {Kind::solver, Kind::gradient, Kind::norm, Kind::regularizer, Kind::model, Kind::dataset})
    pages.emplace_back(std::string(plugins::to_string(kind)) + ".md", kind_page(catalogue, kind));
  for (const auto& [name, text] : pages) runs::write_whole(folder / name, text);
  std::cout << pages.size() << " pages in " << folder.string() << '\n';
  return done;
}

}  // namespace

Command docs_command() {
  po::options_description options("options");
  options.add_options()("folder", value_of("FOLDER"), "where the pages go")("man", "print the man page instead");
  add_plugin_options(options);
  return {"docs", "docs FOLDER | --man", "pages of every option of every part, and of this program",
          "Writes one page for each kind of part, one for the sections of an experiment file, one for the reasons for which solves\n"
          "end, one for the program, from the same tables that check experiments. Plugins that are not part of zstar are in them, too.",
          {"folder"}, std::move(options), write_pages,
          {{"docs build/docs", "the pages of this installation"}, {"docs --man > zstar.1", "the man page"}}};
}

}  // namespace zstar::app
