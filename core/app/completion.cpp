/// \file Shell completion. The scripts are thin: they ask `zstar complete`, which knows commands, parts and option keys.
#include <algorithm>
#include <iostream>
#include <map>

#include "core/app/command.hpp"
#include "core/experiment/flat.hpp"
#include "core/training/session.hpp"

namespace zstar::app {
namespace {

using experiment::SectionSpec;
using Words = std::vector<std::string>;

bool begins(const std::string& text, const std::string& with) { return text.compare(0, with.size(), with) == 0; }

/// Keys and values of `--set`: "solver." at first, then "solver.memory=", then "solver.name=anderson".
class SettingWords {
 public:
  /// \param values  what is set already: names of parts decide which options there are
  SettingWords(plugins::Catalogue& catalogue, std::map<std::string, std::string> values) : tables_(catalogue), values_(std::move(values)) {}

  Words candidates(const std::string& typed) {
    for (const SectionSpec& spec : training::schema()) {
      const std::string stem = spec.name + (spec.array ? ".0." : ".");
      if (begins(typed, stem)) inside(spec, stem, typed);
      else found_.push_back(stem);
    }
    return found_;
  }

 private:
  void inside(const SectionSpec& spec, const std::string& stem, const std::string& typed) {
    std::vector<OptSpec> keys = spec.framework;
    const std::string part = values_.count(stem + "name") ? values_[stem + "name"] : spec.default_part;
    Words names;
    for (const auto& [name, options] : spec.variants) {
      names.push_back(name);
      if (name == part) keys.insert(keys.end(), options.begin(), options.end());
    }
    if (spec.kind) {
      names = tables_.names(*spec.kind);
      if (std::find(names.begin(), names.end(), part) != names.end())
        for (const OptSpec& o : tables_.options(*spec.kind, part)) keys.push_back(o);
    }
    if (!names.empty()) key(stem + "name=", names, typed);
    for (const OptSpec& o : keys) key(stem + o.name + "=", o.type == OptType::boolean ? Words{"true", "false"} : o.choices, typed);
    for (const SectionSpec& inner : spec.nested) {
      const std::string below = stem + inner.name + ".";
      if (begins(typed, below)) inside(inner, below, typed);
      else found_.push_back(below);
    }
  }

  void key(const std::string& assignment, const Words& values, const std::string& typed) {
    if (!begins(typed, assignment)) return found_.push_back(assignment);
    for (const std::string& v : values) found_.push_back(assignment + v);
  }

  training::CatalogueTables tables_;
  std::map<std::string, std::string> values_;
  Words found_;
};

/// What the words before the one under the cursor say, as far as they can be understood.
Arguments understood(const Command& command, const Words& words) {
  try {
    return parse(command, words);
  } catch (const po::error&) {
    return {};
  }
}

Words settings(const Arguments& arguments, const std::string& typed) {
  std::map<std::string, std::string> values;
  try {
    if (arguments.has("file"))
      for (auto& [key, value] : experiment::flatten(arguments.text("file"))) values[key] = value;
  } catch (const std::exception&) {  // completion is no place for errors
  }
  for (const std::string& s : arguments.list("set"))
    if (const auto equals = s.find('='); equals != std::string::npos) values[s.substr(0, equals)] = s.substr(equals + 1);
  plugins::Catalogue catalogue(discovery(arguments));
  return SettingWords(catalogue, std::move(values)).candidates(typed);
}

const po::option_description* option_of(const Command& command, const std::string& word) {
  for (const auto& o : command.options.options())
    if (word == "--" + o->long_name() || (word.size() == 2 && word == o->canonical_display_name(po::command_line_style::allow_dash_for_short))) return o.get();
  return nullptr;
}

Words after_command(const Command& command, const Words& words, const std::string& typed) {
  const po::option_description* waiting = words.empty() ? nullptr : option_of(command, words.back());
  if (waiting && waiting->semantic()->max_tokens() > 0) {
    if (waiting->long_name() != "set") return {};
    return settings(understood(command, {words.begin(), words.end() - 1}), typed);
  }
  Words found;
  if (begins(typed, "-")) {
    for (const auto& o : command.options.options())
      if (std::find(command.positional.begin(), command.positional.end(), o->long_name()) == command.positional.end()) found.push_back("--" + o->long_name());
    found.push_back("--help");
    return found;
  }
  if (!command.next) return {};
  Words given;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto* option = option_of(command, words[i]);
    if (option && option->semantic()->max_tokens() > 0) ++i;
    else if (!begins(words[i], "-")) given.push_back(words[i]);
  }
  return command.next(understood(command, words), given);
}

/// Candidates for the last of the words behind "zstar".
Words candidates(Words words) {
  const std::string typed = words.empty() ? "" : words.back();
  if (!words.empty()) words.pop_back();
  Words all;
  if (words.empty()) {
    all = {"--help", "--version"};
    for (const Command& c : commands())
      if (!c.hidden) all.push_back(c.name);
  }
  for (const Command& c : commands())
    if (!words.empty() && c.name == words[0]) all = after_command(c, {words.begin() + 1, words.end()}, typed);
  Words found;
  for (std::string& word : all)
    if (begins(word, typed)) found.push_back(std::move(word));
  return found;
}

// Bash splits words at '=' and ':'; the line up to the cursor is split anew, and what stands before the last '=' of the
// word is taken off the candidates again.
constexpr const char* bash = R"(# bash completion of zstar:  source <(zstar completion bash)
_zstar() {
  local line=${COMP_LINE:0:COMP_POINT} words word cut
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  word=${words[-1]}
  mapfile -t COMPREPLY < <("${words[0]}" complete -- "${words[@]:1}" 2>/dev/null)
  cut=${word%"${word##*[=:]}"}
  COMPREPLY=("${COMPREPLY[@]#"$cut"}")
  [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[.=] ]] && compopt -o nospace 2>/dev/null
}
complete -o default -F _zstar zstar
)";

constexpr const char* zsh = R"(#compdef zstar
# zsh completion of zstar:  zstar completion zsh > a folder of $fpath/_zstar
_zstar() {
  local -a found open shut
  found=("${(@f)$(${words[1]} complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  open=("${(@M)found:#*[.=]}")
  shut=("${(@)found:#*[.=]}")
  if [[ -z "${found[*]}" ]]; then _files; return; fi
  (( ${#open} )) && compadd -S '' -a open
  (( ${#shut} )) && compadd -a shut
}
if [[ "$funcstack[1]" == _zstar ]]; then _zstar "$@"; else compdef _zstar zstar; fi
)";

constexpr const char* fish = R"(# fish completion of zstar:  zstar completion fish > ~/.config/fish/completions/zstar.fish
function __zstar_complete
    set -l words (commandline -opc)
    set -l found ($words[1] complete -- $words[2..-1] (commandline -ct) 2>/dev/null)
    if test (count $found) -eq 0
        __fish_complete_path (commandline -ct)
    else
        printf '%s\n' $found
    end
end
complete -c zstar -f -a '(__zstar_complete)'
)";

const std::map<std::string, const char*>& scripts() {
  static const std::map<std::string, const char*> all{{"bash", bash}, {"fish", fish}, {"zsh", zsh}};
  return all;
}

Words shells(const Arguments&, const Words& given) {
  Words names;
  if (given.empty())
    for (const auto& [name, script] : scripts()) names.push_back(name);
  return names;
}

}  // namespace

Command completion_command() {
  po::options_description options("options");
  options.add_options()("shell", value_of("SHELL"), "bash, zsh or fish");
  return {"completion", "completion bash | zsh | fish", "completion of commands, parts and option keys for a shell",
          "Prints a script for the shell. It completes commands, options, names of parts, and the keys and values of --set\n"
          "as the installed plugins declare them.",
          {"shell"}, std::move(options),
          [](const Arguments& arguments) {
            const std::string shell = arguments.has("shell") ? arguments.text("shell") : "bash";
            const auto script = scripts().find(shell);
            if (script == scripts().end()) throw po::error("there is no completion for '" + shell + "'");
            std::cout << script->second;
            return static_cast<int>(done);
          },
          {{"completion bash > ~/.local/share/bash-completion/completions/zstar", "for bash, from the next shell on"},
           {"completion fish > ~/.config/fish/completions/zstar.fish", "for fish"}}, shells};
}

Command complete_command() {
  po::options_description options("options");
  options.add_options()("words", values_of("WORD"), "the words behind the program's name, the last one under the cursor");
  return {"complete", "complete -- WORD …", "candidates for a word, one a line", "Asked by the completion scripts.", {"words"}, std::move(options),
          [](const Arguments& arguments) {
            for (const std::string& word : candidates(arguments.list("words"))) std::cout << word << '\n';
            return static_cast<int>(done);
          },
          {}, {}, /*hidden=*/true};
}

}  // namespace zstar::app
