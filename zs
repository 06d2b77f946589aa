#!/usr/bin/env bash
# zs: set up, build, run, test.  ./zs --help
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
  cat <<'TEXT'
usage: ./zs [--no-install] [--libtorch PATH] COMMAND …   (these two may stand behind the command, too)

  run FILE …            build what is needed and train what an experiment file says
  test [CTEST …]        build everything and run the tests
  bench NAME …          build and run a benchmark; without a name: which there are
  reference DIR         compare this build with the reference cases of a folder
  plugin DIR            build an out-of-tree plugin against this tree
  anything else         is handed to the program: ./zs validate FILE, ./zs plugins list

  --no-install          never install packages; say which are missing instead
  --libtorch PATH       use this LibTorch 2.x: a folder, its zip, or a Python wheel; each has a build folder of its own
TEXT
}
fail() { printf 'zs: error: %s\n' "$1" >&2; [ -z "${2-}" ] || printf '  remedy: %s\n' "$2" >&2; exit 1; }

# The folder of a LibTorch, from a folder or an archive; an archive is unpacked beside the build folders, once.
libtorch_folder() {
  local at=$1 unpacked d
  if [ -f "$at" ]; then
    unpacked=$here/build/libtorch-$(printf %s "$(realpath "$at")" | cksum | cut -d' ' -f1)
    if [ ! -e "$unpacked/.whole" ] || [ "$at" -nt "$unpacked/.whole" ]; then
      command -v cmake >/dev/null || install_missing
      rm -rf "$unpacked" && mkdir -p "$unpacked"
      at=$(realpath "$at") && (cd "$unpacked" && cmake -E tar xf "$at") || fail "'$at' cannot be unpacked" "give a LibTorch zip or a torch wheel, downloaded whole"
      touch "$unpacked/.whole"
    fi
    at=$unpacked
  fi
  for d in "$at" "$at/libtorch" "$at/torch"; do
    [ ! -e "$d/lib/libtorch_cpu.so" ] || { (cd "$d" && pwd); return; }
  done
  fail "no LibTorch in '$1'" "give the folder with include/ and lib/libtorch_cpu.so, the LibTorch zip, or a torch wheel"
}

packages() { sed 's/#.*//' "$here/packages.txt"; [ -n "$libtorch" ] || echo libtorch-dev; }

install_missing() {
  command -v dpkg-query >/dev/null || return 0  # not Debian: CMake will say what it misses
  local missing=() p
  local have; have=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p')
  for p in $(packages); do grep -qx "$p" <<<"$have" || missing+=("$p"); done
  [ ${#missing[@]} -eq 0 ] && return 0
  [ $install = yes ] || fail "these packages are missing: ${missing[*]}" "install them, or leave --no-install out"
  local as=(); [ "$(id -u)" = 0 ] || as=(sudo)
  [ ${#as[@]} -eq 0 ] || command -v sudo >/dev/null || fail "these packages are missing: ${missing[*]}" "install them as root"
  echo "zs: installing ${missing[*]}" >&2
  "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q >&2 || fail "apt-get update failed" "check the network and the package sources"
  "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >&2 ||
    fail "the packages could not be installed" "look at the message of apt-get above"
}

# The list of packages and the build files are looked at again only when they changed.
configure() {
  local stamp=$build/.installed
  if [ ! -e "$stamp" ] || [ "$here/packages.txt" -nt "$stamp" ]; then
    install_missing
    mkdir -p "$build" && touch "$stamp" || fail "'$build' cannot be written" "give yourself write access to $here, or free some space"
  fi
  [ -e "$build/build.ninja" ] && return
  command -v cmake >/dev/null || fail "cmake is missing" "install the packages that packages.txt lists"
  echo "zs: configuring $build" >&2
  (cd "$here" && cmake --preset release -B "$build" ${libtorch:+-DZSTAR_LIBTORCH="$libtorch"}) \
    >"$build/configure.log" 2>&1 || { cat "$build/configure.log" >&2; fail "the build could not be configured" "see above, or $build/configure.log"; }
}

# On a terminal ninja's own progress; elsewhere silence, and the end of the log if it fails.
build_targets() {
  local log=$build/build.log
  if [ -t 2 ]; then ninja -C "$build" "$@" >&2 || fail "the build failed" "see above; if the compiler was killed, memory ran out: ninja -j1 -C $build $*"
  else ninja -C "$build" "$@" >"$log" 2>&1 || { tail -n 60 "$log" >&2; fail "the build failed" "see above, or $log"; }; fi
}

benchmarks() { find "$here/bench" -maxdepth 1 -name '*.cpp' -printf '%f\n' 2>/dev/null | sed 's/\.cpp$//' | sort | paste -sd' '; }

# Its own options may stand before the command and after it.
install=yes libtorch= words=()
while [ $# -gt 0 ]; do
  case $1 in
    --no-install) install=no ;;
    --libtorch) [ $# -ge 2 ] || fail "--libtorch takes a folder or a file" "./zs --help"; libtorch=$2; libtorch=$(libtorch_folder "$2"); shift ;;
    -h|--help) [ ${#words[@]} -gt 0 ] || { usage; exit 0; }; words+=("$1") ;;
    *) words+=("$1") ;;
  esac
  shift
done
set -- "${words[@]}"
[ $# -gt 0 ] || { usage; exit 2; }
build=$here/build/release
[ -z "$libtorch" ] || build=$here/build/release-$(printf %s "$libtorch" | cksum | cut -d' ' -f1)

command=$1; shift
case $command in  # what can be said before anything is built
  bench) [ $# -gt 0 ] || { benchmarks | tr ' ' '\n'; exit 0; }
    [ -e "$here/bench/${1-}.cpp" ] || fail "no benchmark '${1-}'" "name one of: $(benchmarks)" ;;
  reference) [ -d "${1-}" ] || fail "no folder '${1-}'" "./zs reference DIR takes a folder of reference cases" ;;
  plugin) [ -e "${1-}/CMakeLists.txt" ] || fail "no CMakeLists.txt in '${1-}'" "make a plugin with './zs new solver NAME', then ./zs plugin NAME" ;;
esac
configure
case $command in
  test)
    build_targets all
    exec ctest --test-dir "$build" --output-on-failure -j "$(nproc)" "$@" ;;
  bench)
    build_targets "bench_$1" program
    exec "$build/bin/bench_$1" "${@:2}" ;;
  reference)
    build_targets zstar_reference program
    exec "$build/bin/zstar_reference" "$@" ;;
  plugin)
    build_targets program
    cmake -S "$1" -B "$1/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -Dzstar_DIR="$build" >"$build/plugin.log" 2>&1 ||
      { cat "$build/plugin.log" >&2; fail "the plugin could not be configured" "see above"; }
    ninja -C "$1/build" || fail "the plugin could not be built" "see above"
    echo "use it with: ./zs run FILE --plugins $1/build" ;;
  *)
    build_targets program
    exec "$build/bin/zstar" "$command" "$@" ;;
esac
