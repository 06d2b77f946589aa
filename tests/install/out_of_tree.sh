#!/usr/bin/env bash
# Installs zstar, builds the template against the installed package alone, drops the library into a folder, and trains with it
# as forward and as adjoint solver.   out_of_tree.sh SOURCE BUILD
set -euo pipefail
source=$1 build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >"$work/install.log"
cp -r "$source/sdk/template/solver" "$work/mine"
cmake -S "$work/mine" -B "$work/mine/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$work/prefix" \
  -DCMAKE_CXX_COMPILER_LAUNCHER="$(command -v ccache || true)" >"$work/configure.log"
ninja -C "$work/mine/build"
mkdir "$work/plugins"
mv "$work/mine/build/zstar-my_solver.so" "$work/plugins/"
"$work/prefix/bin/zstar" plugins show my_solver --plugins "$work/plugins"
sed '/^memory/d' "$source/experiments/quickstart.toml" >"$work/x.toml"  # an option of the solver that is replaced
"$work/prefix/bin/zstar" run "$work/x.toml" --plugins "$work/plugins" --set experiment.runs="$work/runs" \
  --set solver.name=my_solver --set 'gradient.solver={ name = "my_solver", tolerance = 1e-5 }' | tee "$work/run.log"
awk '/^test / { found = 1; if ($2 < 0.9) { print "accuracy too low"; exit 1 } } END { if (!found) { print "no test accuracy"; exit 1 } }' "$work/run.log"
