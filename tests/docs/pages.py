"""Markdown pages of this repository: their code blocks, links, paths and headings.

How a block is tested is written in the page itself:

- `sh` runs as one script. `console` runs each line that begins with `$ ` and compares what
  follows; without such a line it is the expected output of the block before it. A last line
  `^C` means that the reader presses Ctrl-C there.
- Any other language is a file: the paragraph before it ends in "as `NAME`:".
- A comment `<!-- not run: REASON -->` in the line above exempts a block.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SHELL = {"sh", "console"}
DATA = {"python", "js", "json", "yaml", "toml", "sql"}
"""Languages whose blocks are files."""

_FENCE = re.compile(r"^(?P<indent> *)(?P<marks>`{3,})(?P<language>\w*)\s*$")
_FILE = re.compile(r"\bas\s+`(?P<name>[\w./-]+)`:$")
_NOT_RUN = re.compile(r"^<!-- not run: (?P<reason>.+) -->$")
_LINK = re.compile(r"(?<!\\)\[(?:[^\[\]]|\[[^\]]*\])*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (?P<text>.+?)\s*#*$", re.MULTILINE)
_CODE = re.compile(r"^ *(`{3,})\w*\s*$.*?^ *\1\s*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced code block."""

    line: int
    """The line of the opening fence, from 1."""
    language: str
    text: str
    file: str | None
    """The name under which the reader saves it."""
    not_run: str | None
    """Why no test runs it."""


@dataclass(frozen=True)
class Command:
    """One command of a shell block, and the output that a reader should see."""

    line: int
    text: str
    output: list[str] | None = field(default=None)
    """The lines shown; None if the page shows none."""
    is_interrupted: bool = False


@cache
def pages() -> tuple[Path, ...]:
    """Every Markdown page of the repository that Git knows, relative to its root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = (Path(name) for name in listed.split("\0") if name)
    return tuple(sorted(path for path in paths if (ROOT / path).is_file()))


def read(page: Path) -> str:
    """The text of a page, given relative to the root."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: Path) -> Iterator[Block]:
    """The code blocks of a page, in order."""
    lines = read(page).splitlines()
    at = 0
    while at < len(lines):
        opening = _FENCE.match(lines[at])
        if opening is None:
            at += 1
            continue
        indent = opening["indent"]
        end = lines.index(indent + opening["marks"], at + 1)
        above = lines[at - 1].strip() if at else ""
        exempt = _NOT_RUN.match(above)
        yield Block(
            line=at + 1,
            language=opening["language"],
            text="\n".join(line.removeprefix(indent) for line in lines[at + 1 : end]) + "\n",
            file=_file_name(lines[:at]),
            not_run=exempt["reason"] if exempt else None,
        )
        at = end + 1


def _file_name(before: list[str]) -> str | None:
    paragraph = next((line for line in reversed(before) if line.strip()), "")
    found = _FILE.search(paragraph)
    return found["name"] if found else None


def commands(block: Block) -> list[Command]:
    """The commands of a shell block."""
    if block.language == "sh":
        return [Command(block.line, block.text)]
    found: list[Command] = []
    for offset, line in enumerate(block.text.splitlines(), start=1):
        if line.startswith("$ "):
            found.append(Command(block.line + offset, line[2:] + "\n", []))
        elif line.startswith("> ") and found and not found[-1].output:
            last = found[-1]
            found[-1] = Command(last.line, last.text + line[2:] + "\n", [])
        elif line == "^C" and found:
            last = found[-1]
            found[-1] = Command(last.line, last.text, last.output, is_interrupted=True)
        elif found:
            assert found[-1].output is not None
            found[-1].output.append(line)
    return found


def is_output(block: Block) -> bool:
    """Whether a block shows what the block before it prints."""
    return block.language == "console" and not block.text.startswith("$ ")


def links(page: Path) -> Iterator[str]:
    """The targets of a page's links, outside code blocks."""
    for found in _LINK.finditer(_CODE.sub("", read(page))):
        yield found["target"]


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return _CODE.sub("", read(page))


def anchors(page: Path) -> set[str]:
    """The fragments that a page's headings have on GitHub."""
    found: set[str] = set()
    for heading in _HEADING.finditer(prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading["text"])
        slug = re.sub(r"[^\w\- ]", "", text.replace("`", "").lower()).replace(" ", "-")
        name, number = slug, 0
        while name in found:
            number += 1
            name = f"{slug}-{number}"
        found.add(name)
    return found
