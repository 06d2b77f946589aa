#pragma once
/// \file Plots: curves over steps as SVG, drawn by gnuplot; script and data stay beside the picture.

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace zstar::runs {

/// One curve: its title and its points, "step value" a line.
using Curve = std::pair<std::string, std::string>;
/// Quantity → its curves; one panel each.
using Panels = std::map<std::string, std::vector<Curve>>;

/// Writes STEM.dat, STEM.gp and, with gnuplot, STEM.svg. Residuals and errors of gradients stand on a logarithmic axis, without values that it cannot show; more curves than ten in a panel have their
/// names beside it.
/// \param svg  the picture's path; the extension is replaced for script and data \param across  the words of the horizontal axis
/// \return a sentence if there is no picture; empty: it is drawn
std::string draw(const std::filesystem::path& svg, const Panels& panels, const std::string& across = "step");

}  // namespace zstar::runs
