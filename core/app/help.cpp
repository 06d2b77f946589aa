#include "core/app/help.hpp"

#include <algorithm>
#include <sstream>

namespace zstar::app {
namespace {

std::string padded(std::string text, std::size_t width) {
  text += std::string(text.size() < width ? width - text.size() : 1, ' ');
  return text;
}

/// "  left    right" for each row, the right column aligned.
std::string table(const std::vector<std::pair<std::string, std::string>>& rows) {
  std::size_t width = 0;
  for (const auto& [left, right] : rows) width = std::max(width, left.size() + 2);
  std::string text;
  for (const auto& [left, right] : rows) text += "  " + padded(left, width) + right + "\n";
  return text;
}

std::vector<std::pair<std::string, std::string>> summaries() {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const Command& c : commands())
    if (!c.hidden) rows.emplace_back(c.name, c.summary);
  return rows;
}

std::vector<Example> first_steps() {
  return {{"run experiments/quickstart.toml", "train; everything goes to a new run folder"},
          {"run experiments/quickstart.toml --set solver.name=broyden --set train.epochs=20", "the same with other settings"},
          {"plugins show anderson", "what a part is and every option that it has"},
          {"validate experiments/quickstart.toml", "every error of a file at once, nothing is trained"}};
}

std::string examples_text(const std::vector<Example>& examples) {
  std::string text;
  for (const Example& e : examples) text += "  zstar " + e.line + "\n      " + e.what + "\n";
  return text;
}

std::string exit_text() {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const auto& [code, what] : exit_codes()) rows.emplace_back(std::to_string(code), what);
  return table(rows);
}

const std::vector<std::pair<std::string, std::string>>& environment() {
  static const std::vector<std::pair<std::string, std::string>> rows{
      {"ZSTAR_PLUGIN_PATH", "folders with plugins, separated by colons, searched after those of --plugins"},
      {"XDG_DATA_HOME", "plugins of the user are looked for in its zstar/plugins (default ~/.local/share)"},
      {"OMP_NUM_THREADS", "threads of LibTorch, where experiment.threads is 0"}};
  return rows;
}

/// roff: no line begins with a control character, no hyphen turns into a dash.
std::string roff(const std::string& text) {
  std::string out;
  bool start = true;
  for (const char c : text) {
    if (start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') out += "\\e";
    else if (c == '-') out += "\\-";
    else out += c;
    start = c == '\n';
  }
  return out;
}

std::string roff_rows(const std::vector<std::pair<std::string, std::string>>& rows) {
  std::string text;
  for (const auto& [left, right] : rows) text += ".TP\n.B " + roff(left) + "\n" + roff(right) + "\n";
  return text;
}

std::string roff_examples(const std::vector<Example>& examples) {
  std::string text;
  for (const Example& e : examples) text += ".TP\n.B zstar " + roff(e.line) + "\n" + roff(e.what) + "\n";
  return text;
}

}  // namespace

const std::vector<std::pair<int, std::string>>& exit_codes() {
  static const std::vector<std::pair<int, std::string>> codes{
      {done, "done"},
      {failed, "failed while running, or problems were found"},
      {refused, "refused: the command line or the experiment is wrong; nothing was run"},
      {plugin_refused, "a plugin cannot be loaded"},
      {130, "ended by an interrupt (Ctrl-C) after a checkpoint"},
      {143, "ended by a termination signal after a checkpoint"}};
  return codes;
}

std::vector<std::pair<std::string, std::string>> option_rows(const Command& command) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const auto& o : command.options.options()) {
    const auto& words = command.positional;
    if (std::find(words.begin(), words.end(), o->long_name()) != words.end()) continue;
    const std::string brief = o->canonical_display_name(po::command_line_style::allow_dash_for_short);
    std::string left = brief.compare(0, 2, "--") == 0 || brief[0] != '-' ? "" : brief + ", ";
    left += "--" + o->long_name();
    if (o->semantic()->max_tokens() > 0) left += " " + (o->semantic()->name() == "arg" ? "VALUE" : o->semantic()->name());
    rows.emplace_back(std::move(left), o->description());
  }
  rows.emplace_back("-h, --help", "explain this command");
  return rows;
}

std::string help() {
  return std::string("zstar: ") + program_summary + "\n\nusage: zstar COMMAND …\n\nCommands:\n" + table(summaries()) +
         "\n'zstar COMMAND --help' explains a command, with examples; 'zstar --version' says what this is built of.\n\nExamples:\n" +
         examples_text(first_steps()) + "\nExit codes:\n" + exit_text();
}

std::string help(const Command& command) {
  std::string text = "usage: zstar " + command.usage + "\n\n" + command.help + "\n\nOptions:\n" + table(option_rows(command));
  if (!command.examples.empty()) text += "\nExamples:\n" + examples_text(command.examples);
  return text;
}

std::string manual() {
  std::string text = ".TH ZSTAR 1 \"\" \"zstar " ZSTAR_VERSION "\" \"User Commands\"\n.SH NAME\nzstar \\- " + roff(program_summary) +
                     "\n.SH SYNOPSIS\n.B zstar\n.I COMMAND\n.RI [ options ]\n.br\n.B zstar \\-\\-help\n.RB | \" zstar \\-\\-version\"\n"
                     ".SH DESCRIPTION\n"
                     "Trains networks whose output is a fixed point z = f(z; x, \\(*h), as an experiment file in TOML says. Solvers,\n"
                     "gradient methods, weight norms, regularizers, models and data sets are shared libraries found at run time.\n.SH COMMANDS\n";
  for (const Command& c : commands()) {
    if (c.hidden) continue;
    text += ".SS zstar " + roff(c.usage) + "\n" + roff(c.help) + "\n" + roff_rows(option_rows(c));
    if (!c.examples.empty()) text += ".PP\nExamples:\n" + roff_examples(c.examples);
  }
  text += ".SH EXIT STATUS\n";
  for (const auto& [code, what] : exit_codes()) text += ".TP\n.B " + std::to_string(code) + "\n" + roff(what) + "\n";
  return text + ".SH ENVIRONMENT\n" + roff_rows(environment()) + ".SH EXAMPLES\n" + roff_examples(first_steps());
}

std::string manual_markdown() {
  std::ostringstream text;
  text << "# The program\n\nzstar: " << program_summary << ".\n";
  const auto rows = [&](const char* head, const std::vector<std::pair<std::string, std::string>>& lines) {
    text << "\n| " << head << " | |\n|---|---|\n";
    for (const auto& [left, right] : lines) text << "| `" << left << "` | " << right << " |\n";
  };
  for (const Command& c : commands()) {
    if (c.hidden) continue;
    text << "\n## zstar " << c.name << "\n\n`zstar " << c.usage << "`\n\n" << c.help << "\n";
    rows("option", option_rows(c));
    if (!c.examples.empty()) text << "\n```sh\n";
    for (const Example& e : c.examples) text << "zstar " << e.line << "  # " << e.what << "\n";
    if (!c.examples.empty()) text << "```\n";
  }
  text << "\n## Exit codes\n\n| code | |\n|---|---|\n";
  for (const auto& [code, what] : exit_codes()) text << "| " << code << " | " << what << " |\n";
  text << "\n## Environment\n";
  rows("variable", environment());
  return text.str();
}

}  // namespace zstar::app
