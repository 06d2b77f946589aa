#!/usr/bin/env bash
# Installs zstar, makes a plugin of every kind with 'zstar new', builds all and the one that docs/write_a_plugin.md shows against the
# installed package alone, runs their tests, drops the libraries into a folder, and trains with each. The solver, a Broyden method of
# thirty lines, serves forward and backward.   out_of_tree.sh SOURCE BUILD
set -euo pipefail
source=$1 build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >"$work/install.log"
zstar=$work/prefix/bin/zstar
kinds=(solver gradient norm regularizer model dataset)

# One project around all of them saves five looks for LibTorch; each is a project of its own, too.
{
  printf 'cmake_minimum_required(VERSION 3.20)\nproject(mine LANGUAGES CXX)\ninclude(CTest)\nfind_package(zstar REQUIRED)\n'
  for kind in "${kinds[@]}" page; do printf 'add_subdirectory(%s)\n' "$kind"; done
} >"$work/CMakeLists.txt"
mkdir "$work/page"
awk '/^```/ { inside = ($0 == "```cpp"); next } inside' "$source/docs/write_a_plugin.md" >"$work/page/mine.cpp"
echo 'zstar_add_plugin(page_mine SOURCES mine.cpp)' >"$work/page/CMakeLists.txt"
for kind in "${kinds[@]}"; do "$zstar" new "$kind" "own_$kind" "$work/$kind" >/dev/null; done
export CCACHE_BASEDIR=$work CCACHE_NOHASHDIR=1  # the folder has another name each time
cmake -S "$work" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE=-O0 -DCMAKE_PREFIX_PATH="$work/prefix" \
  -DCMAKE_CXX_COMPILER_LAUNCHER="$(command -v ccache || true)" >"$work/configure.log"
ninja -C "$work/build" >"$work/build.log" || { cat "$work/build.log"; exit 1; }
"$zstar" plugins show mine --plugins "$work/build/page" | grep 'beta  (real in \[0, 2\], default 1.0)' >/dev/null
ctest --test-dir "$work/build" --output-on-failure >"$work/test.log" || { cat "$work/test.log"; exit 1; }
tail -n 4 "$work/test.log"
cmake -S "$work/norm" -B "$work/alone" -G Ninja -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/configure.log"

# Flags that would change the process of the host are refused wherever they stand.
for where in CMAKE_CXX_FLAGS CMAKE_CXX_FLAGS_RELEASE CMAKE_MODULE_LINKER_FLAGS_RELEASE; do
  rm -rf "$work/fast"
  ! cmake -S "$work/norm" -B "$work/fast" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$work/prefix" "-D$where=-Ofast" >"$work/configure.log" 2>&1 ||
    { echo "$where=-Ofast was taken"; exit 1; }
  tr -s ' \n' ' ' <"$work/configure.log" | grep -- "-Ofast would change the host process" >/dev/null || { cat "$work/configure.log"; exit 1; }
done

mkdir "$work/plugins"
mv "$work"/build/*/zstar-own_*.so "$work/plugins/"
# trains FILE ACCURACY SETTING…: with the plugins of the folder; the test accuracy must be at least so high.
trains() {
  local file=$1 least=$2 sets=(); shift 2
  for s in "$@"; do sets+=(--set "$s"); done
  "$zstar" run "$file" --plugins "$work/plugins" --set experiment.runs="$work/runs" "${sets[@]}" >"$work/run.log" 2>&1 || { cat "$work/run.log"; exit 1; }
  awk -v least="$least" '/^test / { found = $2 } END { if (found < least) { print "test accuracy " found ", expected " least; exit 1 } }' "$work/run.log" ||
    { cat "$work/run.log"; exit 1; }
  echo "$(basename "$file") $(awk '/^test / { print $2 }' "$work/run.log")"
}
trains "$work/solver/own_solver.toml" 0.9
trains "$work/gradient/own_gradient.toml" 0.7
trains "$work/norm/own_norm.toml" 0.7
trains "$work/regularizer/own_regularizer.toml" 0.9
trains "$work/dataset/own_dataset.toml" 0.9
# The model's own experiment reads a downloaded data set: here, the pictures of the data set that was just made; and all six at once.
pictures='dataset={ name = "own_dataset" }'
trains "$work/model/own_model.toml" 0.9 "$pictures" train.epochs=60 optimizer.lr=0.01
trains "$work/model/own_model.toml" 0.8 "$pictures" train.epochs=60 optimizer.lr=0.01 solver.name=own_solver gradient.name=own_gradient norm.name=own_norm \
  'regularizers=[{ name = "own_regularizer", weight = 1e-3 }]'
