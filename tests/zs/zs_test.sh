#!/usr/bin/env bash
# zs in a copy of its folder, where dpkg-query, apt-get, sudo, cmake and ninja are stand-ins.   zs_test.sh SOURCE
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# A copy of the script with nothing built; every stand-in succeeds and notes how it was called.
fresh() {
  rm -rf "$work/tree" "$work/bin"
  mkdir -p "$work/tree/bench" "$work/bin"
  cp "$1/zs" "$1/packages.txt" "$work/tree"
  touch "$work/tree/bench/loop.cpp" "$work/tree/bench/dots.cpp"
  stand_in dpkg-query "sed 's/#.*//; /^\$/d; s/^/installed /' '$work/tree/packages.txt'; echo installed libtorch-dev"
  stand_in cmake 'while [ $# -gt 0 ]; do [ "$1" = -B ] && mkdir -p "$2/bin" && touch "$2/build.ninja"; shift; done'
  for name in ninja ctest apt-get sudo; do stand_in $name :; done
}
stand_in() { printf '#!/bin/sh\necho "%s $*" >>"%s/calls"\n%s\n' "$1" "$work" "$2" >"$work/bin/$1"; chmod +x "$work/bin/$1"; }

# says CODE WORDS ARGUMENT…: zs ends with that code, its output holds the words.
says() {
  local code=$1 words=$2 got=0 out; shift 2
  : >"$work/calls"
  out=$(cd "$work/tree" && PATH=$work/bin:/usr/bin:/bin ./zs "$@" 2>&1) || got=$?
  if [ "$got" != "$code" ] || [[ $out != *"$words"* ]]; then
    printf 'zs %s\n  ended with %s, expected %s; expected words: %s\n  said: %s\n' "$*" "$got" "$code" "$words" "$out"
    failures=$((failures + 1))
  fi
}
called() { grep -q -- "$1" "$work/calls" || { echo "not called: $1"; cat "$work/calls"; failures=$((failures + 1)); }; }

fresh "$1"
says 2 "usage: ./zs"
says 0 "--no-install" --help
says 1 "zs: error: --libtorch takes a folder" --libtorch
says 1 "zs: error: no LibTorch in '/nowhere'
  remedy: give the folder" --libtorch /nowhere test
says 1 "no benchmark 'lop'
  remedy: name one of: dots loop" bench lop
says 0 "dots
loop" bench
says 1 "no folder '/nowhere'
  remedy: ./zs reference DIR" reference /nowhere
says 1 "no CMakeLists.txt in '$work'
  remedy: make a plugin with './zs new" plugin "$work"
says 0 "configuring" test -R anderson
called "ninja -C $work/tree/build/release all"
called "ctest --test-dir $work/tree/build/release --output-on-failure -j .* -R anderson"
says 0 "" test
! grep -q 'dpkg-query\|^cmake' "$work/calls" || { echo "a repeated call looks at packages again"; failures=$((failures + 1)); }

fresh "$1"; stand_in dpkg-query ':'
says 1 "zs: error: these packages are missing: ccache cmake" --no-install test
says 0 "zs: installing ccache cmake" test
called "apt-get install -q -y --no-install-recommends ccache cmake"

fresh "$1"; stand_in dpkg-query ':'; stand_in apt-get 'exit 1'
says 1 "zs: error: apt-get update failed
  remedy: check the network" test

fresh "$1"; stand_in cmake 'echo "LibTorch was not found"; exit 1'
says 1 "LibTorch was not found
zs: error: the build could not be configured
  remedy: see above, or" test

fresh "$1"; stand_in ninja 'echo "anderson.cpp:7: error: expected ;"; exit 1'
says 1 "anderson.cpp:7: error: expected ;
zs: error: the build failed
  remedy: see above, or" run x.toml

# An archive of LibTorch is unpacked once, beside the build folders; each LibTorch has a build folder of its own.
fresh "$1"; rm "$work/bin/cmake"
mkdir -p "$work/make/libtorch/lib" "$work/make/empty" && touch "$work/make/libtorch/lib/libtorch_cpu.so"
(cd "$work/make" && cmake -E tar cf "$work/tree/torch.zip" --format=zip libtorch && cmake -E tar cf "$work/tree/empty.zip" --format=zip empty)
echo "no archive" >"$work/tree/broken.zip"
says 1 "'$work/tree/broken.zip' cannot be unpacked
  remedy: give a LibTorch zip or a torch wheel" --libtorch broken.zip test
says 1 "no LibTorch in 'empty.zip'" --libtorch empty.zip test
stand_in cmake 'case $1 in -E) exec /usr/bin/cmake "$@" ;; esac; while [ $# -gt 0 ]; do [ "$1" = -B ] && mkdir -p "$2" && touch "$2/build.ninja"; shift; done'
says 0 "" --libtorch torch.zip test
called "cmake -E tar xf $work/tree/torch.zip"
called "-DZSTAR_LIBTORCH=$work/tree/build/libtorch-[0-9]*/libtorch"
says 0 "" --libtorch torch.zip test
! grep -q ' tar ' "$work/calls" || { echo "unpacked twice"; failures=$((failures + 1)); }
says 0 "" --libtorch "$work/make" test
says 0 "" test -R anderson --libtorch "$work/make" --no-install
called "ctest --test-dir $work/tree/build/release-[0-9]* --output-on-failure -j .* -R anderson\$"
says 1 "zs: error: no LibTorch in '/nowhere'" run x.toml --libtorch /nowhere
[ "$(find "$work/tree/build" -maxdepth 1 -name 'release-*' | wc -l)" = 2 ] || { echo "two LibTorchs, not two build folders"; failures=$((failures + 1)); }

# A LibTorch with strings from before C++11 is refused before anything is compiled.
old=$work/old_strings
mkdir -p "$old"/{lib,share/cmake/Torch,include/torch/csrc/api/include/torch}
touch "$old"/lib/{libtorch_cpu,libc10}.so "$old/include/torch/script.h" "$old/include/torch/csrc/api/include/torch/types.h"
printf '#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 1\n#define TORCH_VERSION_PATCH 0\n' >"$old/include/torch/csrc/api/include/torch/version.h"
echo 'set(TORCH_CXX_FLAGS "-D_GLIBCXX_USE_CXX11_ABI=0")' >"$old/share/cmake/Torch/TorchConfig.cmake"
if out=$(cmake -G Ninja -S "$1" -B "$work/configured" -DZSTAR_LIBTORCH="$old" 2>&1) || [[ $out != *"LibTorch 2.1.0 in"*"_GLIBCXX_USE_CXX11_ABI=0"*"Take the zip"* ]]; then
  printf 'old strings were not refused: %s\n' "$out"
  failures=$((failures + 1))
fi

echo "$failures failures"
[ "$failures" = 0 ]
