"""`make mutation`: take out each guard in turn, and see which tests notice.

    python -m tests.fault.mutation [--only WORD] [--seed N] [--write]

Works on a copy of the source: what is in the working tree stays as it is. First the tests run
as they are, and must pass. Ends with 1 where a guard may go and a test that was to notice does
not, or where the source no longer holds what is to be taken out.
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

from tests.fault.guards import GUARDS, Guard

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "faults.md"
BEGIN, END = "<!-- mutation: begin -->", "<!-- mutation: end -->"
SECONDS = 600
"""For one run of one file of tests."""
REAL = ("-k", "not memory")
"""Of tests that both kinds of adapters must pass, only those of the real ones are to notice: the
plain objects are the machine's."""


@dataclass(frozen=True)
class Noticed:
    """What one file of tests said without a guard."""

    test: str | None
    """The first test that failed; None where all passed."""
    seconds: float


def main(words: Sequence[str] | None = None) -> int:
    """Print the table; the exit code."""
    parser = argparse.ArgumentParser(prog="make mutation", description=__doc__)
    parser.add_argument("--only", default="", help="guards whose name has this word")
    parser.add_argument("--seed", type=int, default=0, help="of the property tests")
    parser.add_argument("--write", action="store_true", help=f"put the table into {TABLE.name}")
    given = parser.parse_args(words)
    guards = [guard for guard in GUARDS if given.only in guard.name]
    directory = Path(tempfile.mkdtemp(prefix="goald-mutation-"))
    try:
        return _run(guards, directory, given.seed, write=given.write)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _run(guards: Sequence[Guard], directory: Path, seed: int, *, write: bool) -> int:
    copy_source(directory)
    files = list(dict.fromkeys(test for guard in guards for test in guard.tests))
    for file in files:
        noticed = _test(directory, file, seed)
        if noticed.test is not None:
            print(f"{noticed.test} fails with every guard in its place", file=sys.stderr)
            return 1
        print(f"{file} passes as it is, {noticed.seconds:.0f} s", flush=True)
    lines = ["| guard | promise | taken out, this fails |", "| --- | --- | --- |"]
    survived = 0
    for guard in guards:
        kept = take_out(guard, directory)
        found = [(_test(directory, file, seed), file) for file in guard.tests]
        for path, text in kept.items():
            path.write_text(text, encoding="utf-8")
        survived += sum(noticed.test is None for noticed, _ in found)
        said = "<br>".join(
            f"`{noticed.test}`" if noticed.test else f"nothing in `{file}`: NOT CAUGHT"
            for noticed, file in found
        )
        lines.append(f"| {guard.name} | {guard.promise} | {said} |")
        print(lines[-1], flush=True)
    print("\n" + "\n".join(lines))
    if write:
        _write(lines, seed)
    return 1 if survived else 0


def copy_source(directory: Path) -> None:
    """What the tests need, and what is built of it, into a directory."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard",
         "src", "tests", "docs", "pyproject.toml"],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.decode().split("\0")):
        source = ROOT / name
        if source.is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, directory / name)
    for built in (ROOT / "src" / "goald").glob("_native*.so"):
        shutil.copy2(built, directory / "src" / "goald" / built.name)


def take_out(guard: Guard, directory: Path) -> dict[Path, str]:
    """Take a guard out of the source in this directory; the files as they were.

    AssertionError where the source does not hold exactly once what is to be replaced."""
    kept: dict[Path, str] = {}
    for edit in guard.edits:
        path = directory / edit.path
        text = path.read_text(encoding="utf-8")
        found = text.count(edit.text)
        assert found == 1, f"{guard.name}: {edit.path} has {found} of {edit.text!r}"
        kept.setdefault(path, text)
        path.write_text(text.replace(edit.text, edit.instead), encoding="utf-8")
    return kept


def _test(directory: Path, file: str, seed: int) -> Noticed:
    began = time.monotonic()
    environment = os.environ | {
        "PYTHONPATH": str(directory / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "CRASH_SHRINK": "0",  # that it fails is enough
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
        return Noticed(None, seconds)
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", ran.stdout, re.MULTILINE)
    assert ran.returncode == 1, ran.stdout[-4_000:] + ran.stderr[-4_000:]
    assert failed is not None, ran.stdout[-4_000:]
    return Noticed(failed[1], seconds)


def _write(lines: Sequence[str], seed: int) -> None:
    text = TABLE.read_text(encoding="utf-8") if TABLE.exists() else "# Faults\n"
    at = datetime.now(UTC).date().isoformat()
    section = "\n".join([BEGIN, "", f"Of {at}, seed {seed}.", "", *lines, "", END])
    if BEGIN in text:
        before, _, rest = text.partition(BEGIN)
        text = before + section + rest.partition(END)[2]
    else:
        text += (
            "\n## What each guard is for\n\n`make mutation` takes each guard out of a copy of the "
            f"source, and runs the tests that are to notice.\n\n{section}\n"
        )
    TABLE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
