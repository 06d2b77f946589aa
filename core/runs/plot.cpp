#include "core/runs/plot.hpp"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/runs/folder.hpp"

extern char** environ;

namespace zstar::runs {
namespace fs = std::filesystem;
namespace {

// Colours that most colour-blind readers can tell apart (Okabe & Ito, 2008); lines differ in dash as well.
constexpr const char* colours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"};

/// A title in single quotes of gnuplot.
std::string quote(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("''") : std::string(1, c);
  return out + "'";
}

/// Runs gnuplot on a script in its folder. \return whether it ended well
bool gnuplot(const fs::path& script) {
  const std::string command = "cd \"$1\" && exec gnuplot \"$2\" >/dev/null 2>&1";
  std::string words[] = {"sh", "-c", command, "sh", script.parent_path().empty() ? "." : script.parent_path().string(), script.filename().string()};
  char* argv[7] = {};
  for (int i = 0; i < 6; ++i) argv[i] = words[i].data();
  pid_t pid = 0;
  if (::posix_spawn(&pid, "/bin/sh", nullptr, nullptr, argv, environ) != 0) return false;
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return false;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

std::string draw(const fs::path& svg, const Panels& panels, const std::string& across) {
  if (panels.empty()) return "there are no records, so no curves were drawn";
  const std::string stem = svg.stem().string();
  const std::size_t columns = panels.size() > 1 ? 2 : 1, rows = (panels.size() + columns - 1) / columns;
  std::size_t most = 0;
  for (const auto& [quantity, curves] : panels) most = std::max(most, curves.size());
  const bool beside = most > 10;
  const std::size_t width = beside ? 760 : 480, height = beside ? std::max<std::size_t>(400, 16 * most + 60) : 300;
  std::string data, script = "set terminal svg size " + std::to_string(width * columns) + "," + std::to_string(height * rows) +
                             " font 'sans,11' background 'white'\nset output " + quote(svg.filename().string()) +
                             "\nset grid linecolor '#dddddd'\nset border 3\nset tics nomirror\nset key noenhanced" + (beside ? " outside" : "") + "\nset multiplot layout " +
                             std::to_string(rows) + "," + std::to_string(columns) + "\nset xlabel " + quote(across) + " noenhanced\n";
  int index = 0;
  for (const auto& [quantity, curves] : panels) {
    const bool spans_decades = quantity.find("residual") != std::string::npos || quantity.find("gradient_error") != std::string::npos;
    script += spans_decades ? "set logscale y\nset format y '10^{%T}'\n" : "unset logscale y\nset format y '%g'\n";
    script += "set ylabel " + quote(quantity) + " noenhanced\nplot ";
    int number = 0;
    for (const auto& [title, points] : curves) {
      data += "# " + quantity + " of " + title + "\n" + points + "\n\n";
      script += (number ? ", " : "") + quote(stem + ".dat") + " index " + std::to_string(index++) + " with lines linewidth 1.5 linecolor '" +
                colours[number % 7] + "' dashtype " + std::to_string(number % 5 + 1) + " title " + quote(title);
      ++number;
    }
    script += "\n";
  }
  fs::path base = svg;
  write_whole(base.replace_extension(".dat"), data);
  write_whole(base.replace_extension(".gp"), script + "unset multiplot\n");
  if (gnuplot(base)) return "";
  return "no learning curves were drawn: gnuplot is missing or failed; install gnuplot-nox and run 'gnuplot " + base.filename().string() + "' in " +
         (base.parent_path().empty() ? fs::path(".") : base.parent_path()).string();
}

}  // namespace zstar::runs
