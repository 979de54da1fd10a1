"""`make mutation`: removes each guard in turn, and checks that its tests fail.

    python -m tests.fault.mutation [--only WORD] [--seed N] [--write]

Works on a copy of the source and does not change the working tree. First the tests must pass
with all guards. Exits with 1 if tests pass without a guard, or if the source does not contain the
text of a guard. Without a guard in the Rust core, the extension is built again: the first time in
about a minute.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.fault.guards import GUARDS
from tests.fault.guards.guard import Guard

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "faults.md"
BEGIN, END = "<!-- mutation: begin -->", "<!-- mutation: end -->"
SECONDS = 600
"""Time limit of one run of one test file."""
EXTENSION = Path("src/goald/_native.abi3.so")
REAL = ("-k", "not memory")
"""Contract tests run with the real adapters only, because the guards are in the real adapters."""


@dataclass(frozen=True)
class Outcome:
    """The result of one test file."""

    test: str | None
    """The first test that failed; None if all passed."""
    seconds: float


def main(words: Sequence[str] | None = None) -> int:
    """Print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="make mutation", description=__doc__)
    parser.add_argument("--only", default="", help="guards whose name has this word")
    parser.add_argument("--seed", type=int, default=0, help="seed of the property tests")
    parser.add_argument("--write", action="store_true", help=f"write the table to {TABLE.name}")
    options = parser.parse_args(words)
    guards = [guard for guard in GUARDS if options.only in guard.name]
    directory = Path(tempfile.mkdtemp(prefix="goald-mutation-"))
    try:
        return _run(guards, directory, options.seed, write=options.write)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _run(guards: Sequence[Guard], directory: Path, seed: int, *, write: bool) -> int:
    copy_source(directory)
    files = list(dict.fromkeys(test for guard in guards for test in guard.tests))
    for file in files:
        outcome = _test(directory, file, seed)
        if outcome.test is not None:
            print(f"{outcome.test} fails with all guards in place", file=sys.stderr)
            return 1
        print(f"{file} passes with all guards, {outcome.seconds:.0f} s", flush=True)
    lines = ["| guard | rule | fails without the guard |", "| --- | --- | --- |"]
    uncaught = 0
    for guard in guards:
        originals = remove_guard(guard, directory)
        if guard.is_native:
            build_extension(directory)
        outcomes = [(_test(directory, file, seed), file) for file in guard.tests]
        for path, text in originals.items():
            path.write_text(text, encoding="utf-8")
        if guard.is_native:
            copy_extension(directory)
        uncaught += sum(outcome.test is None for outcome, _ in outcomes)
        cell = "<br>".join(
            f"`{outcome.test}`" if outcome.test else f"nothing in `{file}`: NOT CAUGHT"
            for outcome, file in outcomes
        )
        lines.append(f"| {guard.name} | {guard.promise} | {cell} |")
        print(lines[-1], flush=True)
    print("\n" + "\n".join(lines))
    if write:
        _write(lines, seed)
    return 1 if uncaught else 0


def copy_source(directory: Path) -> None:
    """Copy the files that the tests need, with the built extension, to a directory."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard",
         "src", "tests", "docs", "native", "Cargo.toml", "Cargo.lock", "pyproject.toml"],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.decode().split("\0")):
        source = ROOT / name
        if source.is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, directory / name)
    copy_extension(directory)


def copy_extension(directory: Path) -> None:
    """Copy the built extension, with all guards."""
    shutil.copy2(ROOT / EXTENSION, directory / EXTENSION)


def build_extension(directory: Path) -> None:
    """Build the extension from the source in this directory, without slow optimizations. The
    built dependencies are kept for the next run."""
    target = ROOT / "target" / "mutation"
    options = {"LTO": "false", "CODEGEN_UNITS": "16", "DEBUG": "false", "INCREMENTAL": "true"}
    environment = os.environ | {f"CARGO_PROFILE_RELEASE_{name}": options[name] for name in options}
    subprocess.run(
        ["cargo", "build", "--quiet", "--locked", "--release", "--package", "goald-native",
         "--features", "pyo3/extension-module", "--target-dir", target],
        cwd=directory, check=True, env=environment | {"PYO3_PYTHON": sys.executable},
    )  # fmt: skip
    (directory / EXTENSION).unlink()
    shutil.copy2(target / "release" / "lib_native.so", directory / EXTENSION)


def remove_guard(guard: Guard, directory: Path) -> dict[Path, str]:
    """Remove a guard from the source in this directory. Returns the original files.

    Raises AssertionError if the source does not contain the guard's text exactly once."""
    originals: dict[Path, str] = {}
    for edit in guard.edits:
        path = directory / edit.path
        text = path.read_text(encoding="utf-8")
        count = text.count(edit.text)
        assert count == 1, f"{guard.name}: {edit.path} has {count} of {edit.text!r}"
        originals.setdefault(path, text)
        path.write_text(text.replace(edit.text, edit.instead), encoding="utf-8")
    return originals


def _test(directory: Path, file: str, seed: int) -> Outcome:
    began = time.monotonic()
    environment = os.environ | {
        "PYTHONPATH": str(directory / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "CRASH_SHRINK": "0",  # a failure suffices
    }
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider",
         f"--hypothesis-seed={seed}", f"--timeout={SECONDS - 10}",
         *(REAL if file.startswith("tests/contract/") else ()), file],
        cwd=directory, env=environment, capture_output=True, text=True, timeout=SECONDS,
        check=False,
    )  # fmt: skip
    seconds = time.monotonic() - began
    if ran.returncode == 0:
        return Outcome(None, seconds)
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", ran.stdout, re.MULTILINE)
    assert ran.returncode == 1, ran.stdout[-4_000:] + ran.stderr[-4_000:]
    assert failed is not None, ran.stdout[-4_000:]
    return Outcome(failed[1], seconds)


def _write(lines: Sequence[str], seed: int) -> None:
    text = TABLE.read_text(encoding="utf-8") if TABLE.exists() else "# Faults\n"
    at = datetime.now(UTC).date().isoformat()
    section = "\n".join([BEGIN, "", f"{at}, seed {seed}.", "", *lines, "", END])
    if BEGIN in text:
        before, _, rest = text.partition(BEGIN)
        text = before + section + rest.partition(END)[2]
    else:
        text += (
            "\n## Guards\n\n`make mutation` removes each guard from a copy of the source and runs "
            f"the tests that must fail without it.\n\n{section}\n"
        )
    TABLE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
