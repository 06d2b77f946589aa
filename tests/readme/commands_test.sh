#!/usr/bin/env bash
# Runs what README.md and docs/*.md tell a reader to type. The training of quickstart runs to its end, others are cut to three steps; the test command runs
# the tests of the house, for all would run this one again; all else runs as it stands. Of commands within a text, and of indented ones, the words are looked up.   commands_test.sh SOURCE BUILD
set -euo pipefail
source=$1 build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/bin" "$work/tree/build" "$work/home"
ln -s "$source"/{experiments,docs,sdk,plugins} "$work/tree"
ln -s "$build" "$work/tree/build/release"

# The build that is tested, in the place of the one that zs would make.
cat >"$work/tree/zs" <<TEXT
#!/bin/bash
case \$1 in
  test) ctest --test-dir "$build" --output-on-failure -R '^house_test\$' ;;
  plugin) cmake -S "\$2" -B "\$2/build" -G Ninja -Dzstar_DIR="$build" -DBUILD_TESTING=OFF && ninja -C "\$2/build" ;;
  *) zstar "\$@" ;;
esac
TEXT
cat >"$work/bin/zstar" <<TEXT
#!/bin/bash
[ "\$1" != run ] || [ "\${2-}" = experiments/quickstart.toml ] || set -- "\$@" --smoke
exec "$build/bin/zstar" "\$@"
TEXT
chmod +x "$work/tree/zs" "$work/bin/zstar"
cd "$work/tree"
export HOME=$work/home XDG_DATA_HOME=$work/home/data PATH=$work/bin:$PATH
unset ZSTAR_PLUGIN_PATH

commands=0 failures=0
for page in "$source/README.md" "$source"/docs/*.md; do
  while IFS= read -r line; do
    commands=$((commands + 1))
    if ! bash -euc "$line" >"$work/log" 2>&1; then
      printf '%s: %s\n' "$page" "$line"
      tail -n 20 "$work/log"
      failures=$((failures + 1))
    fi
  done < <(awk '/^```/ { inside = ($0 == "```sh"); next } inside && NF' "$page")
done
# A command and its options exist, and what it sets of an experiment does. The script's own commands are known to its test.
known() {
  local line=$1 page=$2 command word words
  mapfile -t words < <(xargs printf '%s\n' <<<"$line")
  set -- "${words[@]:1}"
  while [ $# -gt 0 ]; do
    case $1 in --libtorch) shift 2 ;; --no-install) shift ;; *) break ;; esac
  done
  command=${1-}
  [[ $line == ./zs* && $command =~ ^(test|bench|reference|plugin)$ ]] && return
  [ -e "$work/help-$command" ] || "$build/bin/zstar" "$command" --help >"$work/help-$command" 2>&1 ||
    { echo "$page: there is no command '$command': $line"; return 1; }
  for word in "${@:2}"; do
    [[ $word =~ ^--[a-z] ]] || continue
    grep -qE -- "(^| )${word%%=*}( |\$)" "$work/help-$command" || { echo "$page: '$command' has no option $word: $line"; return 1; }
  done
  [[ $command != run || ${2-} != experiments/* ]] || (cd "$source" && "$build/bin/zstar" validate "${@:2}" >/dev/null) || { echo "$page: $line"; return 1; }
}
spoken=0
for page in "$source"/{README,CONTRIBUTING}.md "$source"/docs/*.md; do
  while IFS= read -r line; do
    spoken=$((spoken + 1))
    known "$line" "$page" || failures=$((failures + 1))
  done < <(tr '\n' ' ' <"$page" | grep -oE '`(\./zs|zstar) (--libtorch [^ ]+ )?[a-z][^`]*`' | tr -d '`'
           sed -nE 's/^    ((\.\/zs|zstar) [a-z].*)/\1/p' "$page" | sed -E 's/ +#.*|   .*//')
done
echo "$commands commands, $spoken within texts, $failures failures"
[ "$failures" = 0 ] || exit 1
[ "$commands" -ge 20 ] && [ "$spoken" -ge 10 ] || exit 1

# What is generated names everything that there is, and links lead somewhere.
"$build/bin/zstar" docs "$work/pages" >/dev/null
"$build/bin/zstar" plugins list --plugins "$build/plugins" | while read -r kind name _; do
  grep -q "^## $name\$" "$work/pages/$kind.md" || { echo "$name is not on the page of its kind, $kind"; exit 1; }
done
for reason in $(sed -n 's/^| \([a-z]*\) | .* |$/\1/p' "$work/pages/reasons.md" | grep -v '^reason$'); do
  grep -q "^| $reason |" "$source/docs/stopping.md" || { echo "docs/stopping.md does not explain '$reason'"; exit 1; }
done
for page in "$source"/{README,CONTRIBUTING}.md "$source"/docs/*.md; do
  links=$(grep -oE '\]\([^)#]+' "$page" | sed 's/](//' | grep -v '^http' || true)
  for link in $links; do
    [ -e "$(dirname "$page")/$link" ] || { echo "$page: '$link' does not exist"; exit 1; }
  done
done
