#!/bin/sh
# step.sh MESSAGE COMMAND [ARGUMENT ...]
#
# Says MESSAGE on one line and runs COMMAND quietly; its output is shown only if it fails
# (or at once, with VERBOSE=1). The exit status is the command's.
set -u
message=$1
shift
printf '%s\n' "$message"
if [ -n "${VERBOSE:-}" ]; then
  exec "$@"
fi
log=$(mktemp "${TMPDIR:-/tmp}/goald-step.XXXXXX") || exit 1
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"$@" >"$log" 2>&1
status=$?
if [ "$status" -ne 0 ]; then
  cat "$log" >&2
  printf '\nThis failed (exit status %s): %s\n' "$status" "$*" >&2
fi
exit "$status"
