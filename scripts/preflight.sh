#!/bin/sh
# preflight.sh
#
# Looks for what the build needs and prints, on stdout, the Python to build with. Where
# something is missing it says what and how to get it, on stderr, all of it at once, and
# exits 1. It changes nothing and takes a fraction of a second.
set -u
missing=0

complain() {
  missing=1
  printf '\nMissing: %s\n' "$1" >&2
  shift
  printf '  %s\n' "$@" >&2
}

# --- Python 3.11 to 3.14, with the means to make a virtual environment -------------------
fits() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

python=
if [ -n "${PYTHON:-}" ]; then
  if fits "$PYTHON"; then
    python=$PYTHON
  else
    complain "a Python between 3.11 and 3.14 (PYTHON=$PYTHON is not one)" \
      "Point PYTHON at another, or leave it out to have one looked for."
  fi
else
  for candidate in python3 python3.11 python3.12 python3.13 python3.14 python; do
    if fits "$candidate"; then
      python=$candidate
      break
    fi
  done
  if [ -z "$python" ]; then
    complain "Python 3.11 to 3.14 (looked for python3, python3.11 ... python3.14 on PATH)" \
      "Debian, Ubuntu:  sudo apt install python3 python3-venv" \
      "Fedora:          sudo dnf install python3" \
      "macOS:           brew install python@3.13" \
      "Or name one:     make PYTHON=/path/to/python3.12 ..."
  fi
fi
if [ -n "$python" ] && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  complain "the venv module of $python (some systems package it apart)" \
    "Debian, Ubuntu:  sudo apt install python$version-venv"
fi

# --- Rust 1.85 or newer ------------------------------------------------------------------
if ! command -v cargo >/dev/null 2>&1; then
  complain "cargo, the build tool of Rust (1.85 or newer)" \
    "Any system:      see https://rustup.rs (no root needed), then open a new shell" \
    "Distributions:   their rustc and cargo packages, where they are new enough"
elif ! cargo_says=$(cargo --version 2>&1); then
  complain "a Rust toolchain: cargo is there but does not run" \
    "It says:         $(printf '%s' "$cargo_says" | head -n 1)" \
    "With rustup:     rustup default stable" \
    "With a HOME other than the one Rust was installed in, set RUSTUP_HOME and CARGO_HOME"
else
  version=${cargo_says#cargo }
  version=${version%% *}
  major=${version%%.*}
  minor=${version#*.}
  minor=${minor%%.*}
  if [ "$major" -lt 1 ] || { [ "$major" -eq 1 ] && [ "$minor" -lt 85 ]; }; then
    complain "Rust 1.85 or newer (found $version)" "With rustup:     rustup update stable"
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
    complain "a directory that cargo may write to ($cargo_home is not one)" \
      "Name another:    export CARGO_HOME=/some/writable/directory"
  fi
fi

# --- A C compiler that links: Rust uses it as its linker -----------------------------------
if ! command -v cc >/dev/null 2>&1; then
  complain "a C compiler (cc): Rust links with it" \
    "Debian, Ubuntu:  sudo apt install build-essential" \
    "Fedora:          sudo dnf install gcc" \
    "macOS:           xcode-select --install"
else
  probe=$(mktemp "${TMPDIR:-/tmp}/goald-cc.XXXXXX") || exit 1
  if ! echo 'int main(void) { return 0; }' | cc -x c -o "$probe" - 2>/dev/null; then
    complain "the C library's development files (cc is there but cannot link a program)" \
      "Debian, Ubuntu:  sudo apt install build-essential" \
      "Fedora:          sudo dnf install gcc glibc-devel"
  fi
  rm -f "$probe"
fi

if [ "$missing" -ne 0 ]; then
  printf '\nInstall what is missing and run the same command again.\n' >&2
  exit 1
fi
printf '%s\n' "$python"
