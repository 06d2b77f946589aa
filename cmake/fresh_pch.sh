#!/bin/sh
# Runs a compiler after removing the precompiled header that it is to write: an older one of that name would be read in the
# place of the headers, by compiler or cache, and come out again as it was.
for argument in "$@"; do
  case $argument in *.gch) rm -f "$argument" ;; esac
done
exec "$@"
