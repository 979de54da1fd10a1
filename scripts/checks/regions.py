"""Splits a source file into the prose and the identifiers that a person reads."""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

Kind = Literal["text", "name", "code"]
"""Prose; an identifier; a plain word in backticks, which is part of a prose, too."""

_WORD = r"[A-Za-z_][A-Za-z0-9_]*"
_PYTHON = re.compile(
    r"""(?P<comment>\#[^\n]*)
    | (?P<string>(?P<prefix>[rRbBuUfF]{0,2})(?:"{3}(?:\\.|.)*?"{3}|'{3}(?:\\.|.)*?'{3}
        |"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    | (?P<name>[A-Za-z_]\w*)""",
    re.VERBOSE | re.DOTALL,
)
_RUST = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
    | (?P<string>b?r(?P<hashes>\#*)".*?"(?P=hashes)|b?"(?:\\.|[^"\\])*")
    | b?'(?:\\[^\n]*?'|[^'\\\n]')
    | (?P<name>[A-Za-z_]\w*)""",
    re.VERBOSE | re.DOTALL,
)
_SQL = re.compile(
    r"""(?P<comment>--[^\n]*)
    | (?P<string>'(?:''|[^'])*')
    | (?P<name>[A-Za-z_]\w*)""",
    re.VERBOSE | re.DOTALL,
)
_LEXERS = {".py": _PYTHON, ".pyi": _PYTHON, ".rs": _RUST, ".sql": _SQL}

# An identifier inside prose: it has an underscore or an inner capital, or is in backticks.
_COMPOUND = re.compile(r"\b(?:\w*[A-Za-z]_\w+|_\w*[A-Za-z]\w*|[A-Za-z]\w*[a-z][A-Z]\w*)\b")
_CODE_SPAN = re.compile(r"`([^`\n]+)`")
_LEADER = re.compile(r"^[ \t]*(?://[/!]?|\#+!?|--|\*)(?=\s|$)", re.MULTILINE)
_SEAM = re.compile(r"""["']\s*\n\s*[rRbBuUfF]{0,2}["']""")
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True)
class Region:
    """Text that starts at a line of a file. A name's words are separated by spaces."""

    kind: Kind
    line: int
    text: str


def split_name(name: str) -> str:
    """`ShardBatch`, `shard_batch` and `SHARD_BATCH` as `shard batch`."""
    return _CAMEL.sub(" ", name).replace("_", " ").strip().lower()


def regions_of(path: str, source: str) -> Iterator[Region]:
    """The regions of a file, in order. The suffix of `path` selects the language.

    Consecutive comment lines, and adjacent string literals, are one region each. A file of
    another language is one text.
    """
    lexer = _LEXERS.get(PurePath(path).suffix)
    if lexer is None:
        text = source if path.endswith(".md") else _without(_LEADER, source)
        yield from _text(text, 1)
    else:
        yield from _lex(lexer, source)


def _lex(lexer: re.Pattern[str], source: str) -> Iterator[Region]:
    group: list[re.Match[str]] = []
    lines = _Lines(source)
    for token in lexer.finditer(source):
        kind = token.lastgroup and ("name" if token["name"] else "prose")
        if kind == "prose" and (not group or _continues(group[-1], token, source)):
            group.append(token)
            continue
        if kind is None and not group:
            continue
        yield from _prose(group, source, lines)
        group = []
        if kind == "prose":
            group = [token]
        elif kind == "name":
            yield Region("name", lines.of(token.start()), split_name(token["name"]))
    yield from _prose(group, source, lines)


def _continues(last: re.Match[str], token: re.Match[str], source: str) -> bool:
    between = source[last.end() : token.start()]
    if bool(last["comment"]) != bool(token["comment"]) or between.strip():
        return False
    return bool(token["string"]) or between.count("\n") == 1


def _prose(tokens: list[re.Match[str]], source: str, lines: "_Lines") -> Iterator[Region]:
    if not tokens:
        return
    text = source[tokens[0].start() : tokens[-1].end()]
    line = lines.of(tokens[0].start())
    if tokens[0]["comment"]:
        text = _without(_LEADER, text)
    else:
        for placeholder in _PLACEHOLDER.finditer(text) if _is_format(tokens) else ():
            for name in re.finditer(_WORD, placeholder[0]):
                at = line + text.count("\n", 0, placeholder.start())
                yield Region("name", at, split_name(name[0]))
        if _is_format(tokens):
            text = _without(_PLACEHOLDER, text)
        text = _without(_SEAM, text)
        text = re.sub(r"""^[rRbBuUfF]{0,2}["']+|["']+$""", lambda m: " " * len(m[0]), text)
    yield from _text(text, line)


def _is_format(tokens: list[re.Match[str]]) -> bool:
    return any("f" in (token.groupdict().get("prefix") or "").lower() for token in tokens)


def _text(text: str, line: int) -> Iterator[Region]:
    yield Region("text", line, text)
    for name in _COMPOUND.finditer(text):
        yield Region("name", line + text.count("\n", 0, name.start()), split_name(name[0]))
    for span in _CODE_SPAN.finditer(text):
        at = line + text.count("\n", 0, span.start())
        for name in re.finditer(_WORD, span[1]):
            if not _COMPOUND.fullmatch(name[0]):
                yield Region("code", at, name[0].lower())


def _without(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


class _Lines:
    """Line numbers of a source, from 1."""

    def __init__(self, source: str) -> None:
        self._ends = [found.start() for found in re.finditer("\n", source)]

    def of(self, offset: int) -> int:
        return bisect_left(self._ends, offset) + 1
