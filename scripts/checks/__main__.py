"""Checks the vocabulary and the structure of this repository.

    python -m scripts.checks words [--summary] [PATH ...]
    python -m scripts.checks structure

Both print one line per finding and exit with 1 if there is any. PATH limits the findings to
files or folders. `--summary` prints the number of findings per area instead.
"""

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from scripts.checks import structure
from scripts.checks.words import Finding, Vocabulary

ROOT = Path(__file__).parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status. Raises CalledProcessError outside a git checkout."""
    parser = argparse.ArgumentParser(prog="python -m scripts.checks")
    commands = parser.add_subparsers(dest="check", required=True)
    words = commands.add_parser("words", help="retired words")
    words.add_argument("paths", nargs="*", metavar="PATH", help="a file or folder; default: all")
    words.add_argument("--summary", action="store_true", help="the number of findings per area")
    commands.add_parser("structure", help="folders, constructors and class names")
    options = parser.parse_args(arguments)
    if options.check == "structure":
        lines = list(structure.findings(dict(sources(()))))
    else:
        vocabulary = Vocabulary.load()
        found = [
            finding
            for path, source in sources(options.paths)
            for finding in vocabulary.findings(path, source)
        ]
        lines = summary(found) if options.summary else [str(finding) for finding in found]
    for line in lines:
        print(line)
    return 1 if lines else 0


def sources(paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The tracked text files below these paths, or all of them, with their contents."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    for path in sorted(filter(None, listed.stdout.split("\0"))):
        try:
            yield path, (ROOT / path).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue


def summary(found: Sequence[Finding]) -> list[str]:
    """Lines `count  area`, most first; an area is a folder of at most three levels."""
    areas = Counter("/".join(finding.path.split("/")[:-1][:3]) or "." for finding in found)
    total = [f"{len(found):6}  in all"] if found else []
    return [f"{count:6}  {area}" for area, count in areas.most_common()] + total


if __name__ == "__main__":
    sys.exit(main())
