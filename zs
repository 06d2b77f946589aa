#!/usr/bin/env bash
# zs: set up, build, run, test.  ./zs --help
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
  cat <<'TEXT'
usage: ./zs [--no-install] [--libtorch DIR] COMMAND …

  run FILE …        build what is needed and train what an experiment file says
  test [CTEST …]    build everything and run the tests
  reference DIR     compare this build with the reference cases of a folder
  plugin DIR        build an out-of-tree plugin against this tree
  anything else     is handed to the program: ./zs validate FILE, ./zs plugins list

  --no-install      never install packages; say which are missing instead
  --libtorch DIR    use this LibTorch 2.x (zip, or the torch folder of a Python wheel); it has a build folder of its own
TEXT
}
fail() { printf 'zs: error: %s\n' "$1" >&2; [ -z "${2-}" ] || printf '  remedy: %s\n' "$2" >&2; exit 1; }

install=yes libtorch=
while [ $# -gt 0 ]; do
  case $1 in
    --no-install) install=no; shift ;;
    --libtorch) [ $# -ge 2 ] || fail "--libtorch takes a folder"; libtorch=$(cd "$2" 2>/dev/null && pwd) || fail "no folder '$2'" "give the LibTorch folder"; shift 2 ;;
    -h|--help) usage; exit 0 ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || { usage; exit 2; }

build=$here/build/release
[ -z "$libtorch" ] || build=$here/build/release-$(printf %s "$libtorch" | cksum | cut -d' ' -f1)

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
    mkdir -p "$build" && touch "$stamp"
  fi
  [ -e "$build/build.ninja" ] || cmake -S "$here" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_UNITY_BUILD=ON ${libtorch:+-DZSTAR_LIBTORCH="$libtorch"} \
    >"$build/configure.log" 2>&1 || { cat "$build/configure.log" >&2; fail "the build could not be configured" "see above, or $build/configure.log"; }
}

build_targets() {
  local log=$build/build.log
  if [ -t 2 ]; then ninja -C "$build" "$@" >&2 || fail "the build failed" "see above"
  else ninja -C "$build" "$@" >"$log" 2>&1 || { tail -n 60 "$log" >&2; fail "the build failed" "see above, or $log"; }; fi
}

command=$1; shift
configure
case $command in
  test)
    build_targets all
    exec ctest --test-dir "$build" --output-on-failure -j "$(nproc)" "$@" ;;
  reference)
    [ $# -ge 1 ] || fail "reference takes a folder of cases"
    build_targets zstar_reference
    exec "$build/bin/zstar_reference" "$1" ;;
  plugin)
    [ $# -ge 1 ] || fail "plugin takes a folder with a CMakeLists.txt"
    [ -e "$1/CMakeLists.txt" ] || fail "no CMakeLists.txt in '$1'" "copy sdk/template"
    build_targets program
    cmake -S "$1" -B "$1/build" -G Ninja -Dzstar_DIR="$build" >"$build/plugin.log" 2>&1 || { cat "$build/plugin.log" >&2; fail "the plugin could not be configured"; }
    ninja -C "$1/build" ;;
  *)
    build_targets program
    exec "$build/bin/zstar" "$command" "$@" ;;
esac
