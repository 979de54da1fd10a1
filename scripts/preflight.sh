#!/bin/sh
# preflight.sh
#
# Checks that the build tools are installed, and prints the Python to build with on stdout.
# If tools are missing, it lists all of them on stderr, with how to install each, and exits
# with 1. It changes nothing.
set -u
missing=0

report() {
  missing=1
  printf '\nMissing: %s\n' "$1" >&2
  shift
  printf '  %s\n' "$@" >&2
}

# --- Python 3.11 to 3.14, with the venv module --------------------------------------------
fits() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

python=
if [ -n "${PYTHON:-}" ]; then
  if fits "$PYTHON"; then
    python=$PYTHON
  else
    report "a Python between 3.11 and 3.14 (PYTHON=$PYTHON is not one)" \
      "Set PYTHON to another version, or unset it to search the PATH."
  fi
else
  for candidate in python3 python3.11 python3.12 python3.13 python3.14 python; do
    if fits "$candidate"; then
      python=$candidate
      break
    fi
  done
  if [ -z "$python" ]; then
    report "Python 3.11 to 3.14 (looked for python3, python3.11 ... python3.14 on PATH)" \
      "Debian, Ubuntu:  sudo apt install python3 python3-venv" \
      "Fedora:          sudo dnf install python3" \
      "macOS:           brew install python@3.13" \
      "Or set PYTHON:   make PYTHON=/path/to/python3.12 ..."
  fi
fi
if [ -n "$python" ] && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  report "the venv module of $python (a separate package on some systems)" \
    "Debian, Ubuntu:  sudo apt install python$version-venv"
fi

# --- Rust 1.85 or newer ------------------------------------------------------------------
if ! command -v cargo >/dev/null 2>&1; then
  report "cargo, the build tool of Rust (1.85 or newer)" \
    "Any system:      see https://rustup.rs (no root needed), then open a new shell" \
    "Distributions:   the packages rustc and cargo, if they are new enough"
elif ! cargo_output=$(cargo --version 2>&1); then
  report "a Rust toolchain: cargo is installed but does not run" \
    "Its output:      $(printf '%s' "$cargo_output" | head -n 1)" \
    "With rustup:     rustup default stable" \
    "If HOME has changed since Rust was installed, set RUSTUP_HOME and CARGO_HOME"
else
  version=${cargo_output#cargo }
  version=${version%% *}
  major=${version%%.*}
  minor=${version#*.}
  minor=${minor%%.*}
  if [ "$major" -lt 1 ] || { [ "$major" -eq 1 ] && [ "$minor" -lt 85 ]; }; then
    report "Rust 1.85 or newer (found $version)" "With rustup:     rustup update stable"
  fi
  cargo_home=${CARGO_HOME:-${HOME:-}/.cargo}
  existing=$cargo_home
  while [ -n "$existing" ] && [ ! -e "$existing" ]; do
    case $existing in
      */*) existing=${existing%/*} ;;
      *) existing=. ;;
    esac
  done
  if [ ! -w "${existing:-/}" ]; then
    report "a writable directory for cargo ($cargo_home is not writable)" \
      "Use another:     export CARGO_HOME=/some/writable/directory"
  fi
fi

# --- A C compiler that links: Rust uses it as its linker -----------------------------------
if ! command -v cc >/dev/null 2>&1; then
  report "a C compiler (cc): Rust links with it" \
    "Debian, Ubuntu:  sudo apt install build-essential" \
    "Fedora:          sudo dnf install gcc" \
    "macOS:           xcode-select --install"
else
  probe=$(mktemp "${TMPDIR:-/tmp}/goald-cc.XXXXXX") || exit 1
  if ! echo 'int main(void) { return 0; }' | cc -x c -o "$probe" - 2>/dev/null; then
    report "the C library's development files (cc is installed but cannot link a program)" \
      "Debian, Ubuntu:  sudo apt install build-essential" \
      "Fedora:          sudo dnf install gcc glibc-devel"
  fi
  rm -f "$probe"
fi

if [ "$missing" -ne 0 ]; then
  printf '\nInstall the missing tools and run the same command again.\n' >&2
  exit 1
fi
printf '%s\n' "$python"
