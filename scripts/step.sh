#!/bin/sh
# step.sh MESSAGE COMMAND [ARGUMENT ...]
#
# Prints MESSAGE and runs COMMAND without its output. Prints the output if the command fails,
# or as it comes if VERBOSE=1 is set. Exits with the status of the command.
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
