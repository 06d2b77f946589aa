#include "core/runs/plot.hpp"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <sstream>

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

/// Whether a quantity stands on a logarithmic axis.
bool spans_decades(const std::string& quantity) { return quantity.find("residual") != std::string::npos || quantity.find("gradient_error") != std::string::npos; }

/// The points, "step value" a line, that a logarithmic axis can show.
std::string above_zero(const std::string& points) {
  std::istringstream lines(points);
  std::string kept;
  for (std::string line; std::getline(lines, line);)
    if (const double value = std::strtod(line.c_str() + line.rfind(' '), nullptr); std::isfinite(value) && value > 0) kept += line + "\n";
  return kept;
}

/// What can be drawn: gnuplot gives up the whole picture for one panel without a point.
Panels drawable(Panels panels) {
  for (auto panel = panels.begin(); panel != panels.end();) {
    auto& [quantity, curves] = *panel;
    if (spans_decades(quantity))
      for (auto& [title, points] : curves) points = above_zero(points);
    curves.erase(std::remove_if(curves.begin(), curves.end(), [](const Curve& c) { return c.second.empty(); }), curves.end());
    panel = curves.empty() ? panels.erase(panel) : std::next(panel);
  }
  return panels;
}

/// Runs gnuplot on a script in its folder. \return its exit status; 127: there is none
int gnuplot(const fs::path& script) {
  const std::string command = "cd \"$1\" && exec gnuplot \"$2\" >/dev/null 2>&1";
  std::string words[] = {"sh", "-c", command, "sh", script.parent_path().empty() ? "." : script.parent_path().string(), script.filename().string()};
  char* argv[7] = {};
  for (int i = 0; i < 6; ++i) argv[i] = words[i].data();
  pid_t pid = 0;
  if (::posix_spawn(&pid, "/bin/sh", nullptr, nullptr, argv, environ) != 0) return 127;
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return 1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace

std::string draw(const fs::path& svg, const Panels& all, const std::string& across) {
  const Panels panels = drawable(all);
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
    script += spans_decades(quantity) ? "set logscale y\nset format y '10^{%T}'\n" : "unset logscale y\nset format y '%g'\n";
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
  const int status = gnuplot(base);
  if (status == 0) return "";
  const std::string again = "'gnuplot " + base.filename().string() + "' in " + (base.parent_path().empty() ? fs::path(".") : base.parent_path()).string();
  return status == 127 ? "no learning curves were drawn: gnuplot is missing; install gnuplot-nox and run " + again
                       : "no learning curves were drawn: gnuplot failed; " + again + " says why";
}

}  // namespace zstar::runs
