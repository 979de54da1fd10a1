"""Finds retired words in the repository's files and says what to write instead."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Self, get_args

from scripts.checks.regions import Kind, Region, regions_of, split_name

TERMS = Path(__file__).with_name("retired_words.toml")

_KEYS = {"words", "use", "only", "opening", "questions", "except", "paths", "not_paths"}

# A sentence begins at the start of a text, after a full stop, a colon or a blank line, and in
# a list item, a table cell or a quotation.
_OPENING = r"""(?:\A[\s`*_(-]*|(?<=[.!?;:|"'])\s+[*_(]*|\n[ \t]*\n\s*|\n[ \t]*(?:[-*]|\d+\.)\s+)"""
_SENTENCE_END = re.compile(r"[.!?](?=\s|\Z)|\n[ \t]*\n|\|")
_CONTEXT = 80
"""Characters before and after a word in which its exceptions are looked up."""


@dataclass(frozen=True)
class Finding:
    """A retired word at a line of a file. Line 0: the file's own name."""

    path: str
    line: int
    word: str
    use: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {' '.join(self.word.split())!r}: use {self.use}"


@dataclass(frozen=True, eq=False)
class Term:
    """Expressions that are retired together, where they are, and what replaces them."""

    words: str
    pattern: re.Pattern[str]
    use: str
    only: str | None
    opening: bool
    questions: bool
    exceptions: tuple[re.Pattern[str], ...]
    paths: tuple[str, ...]
    not_paths: tuple[str, ...]

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Self:
        """Raises ValueError for an unknown key, KeyError for a missing one."""
        if unknown := entry.keys() - _KEYS:
            raise ValueError(f"unknown key of a term: {', '.join(sorted(unknown))}")
        opening = entry.get("opening", False)
        words = rf"(?<!\w)(?:{_spaced('|'.join(entry['words']))})(?!\w)"
        return cls(
            words=words,
            pattern=re.compile(
                f"{_OPENING if opening else ''}(?P<word>{words})", 0 if opening else re.IGNORECASE
            ),
            use=entry["use"],
            only=entry.get("only"),
            opening=opening,
            questions=entry.get("questions", opening),
            exceptions=tuple(
                re.compile(_spaced(each), re.IGNORECASE) for each in entry.get("except", ())
            ),
            paths=tuple(entry.get("paths", ("*",))),
            not_paths=tuple(entry.get("not_paths", ())),
        )

    def is_of(self, kind: Kind) -> bool:
        if kind == "code":
            return self.only == "names"
        return self.only is None or (self.only == "names") == (kind == "name")

    def applies_to(self, path: str) -> bool:
        return _matches(path, self.paths) and not _matches(path, self.not_paths)

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Start and end of each occurrence that is no exception."""
        for match in self.pattern.finditer(text):
            start, end = match.span("word")
            if self.opening and not _has_three_more_words(text, end):
                continue
            if self.questions and _is_question(text, end):
                continue
            if not self._is_excepted(text, start, end):
                yield start, end

    def _is_excepted(self, text: str, start: int, end: int) -> bool:
        first = max(0, start - _CONTEXT)
        context = text[first : end + _CONTEXT]
        return any(
            found.start() <= start - first and end - first <= found.end()
            for exception in self.exceptions
            for found in exception.finditer(context)
        )


@dataclass
class Vocabulary:
    """The retired terms, and the files that they do not apply to."""

    terms: Sequence[Term]
    skip: Sequence[str]
    _known: dict[tuple[Kind, str], list[tuple[int, int, Term]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._any = {
            kind: re.compile(
                "|".join(term.words for term in self.terms if term.is_of(kind)) or r"(?!)",
                re.IGNORECASE,
            )
            for kind in get_args(Kind)
        }

    @classmethod
    def load(cls, file: Path = TERMS) -> Self:
        """Raises OSError, TOMLDecodeError, and ValueError or KeyError for a wrong term."""
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        return cls([Term.of(entry) for entry in content["term"]], content.get("skip", ()))

    def findings(self, path: str, source: str) -> Iterator[Finding]:
        """The findings of one file, in the order of their lines."""
        if _matches(path, self.skip):
            return
        applicable = {term for term in self.terms if term.applies_to(path)}
        name = (Region("name", 0, split_name(_words_of(entry))) for entry in path.split("/"))
        for region in sorted((*name, *regions_of(path, source)), key=lambda each: each.line):
            for start, end, term in self._occurrences(region.kind, region.text):
                if term in applicable:
                    line = region.line + region.text.count("\n", 0, start)
                    yield Finding(path, line, region.text[start:end], term.use)

    def _occurrences(self, kind: Kind, text: str) -> list[tuple[int, int, Term]]:
        """Those of every term, in their order. Of two that overlap, the first term's."""
        if (known := self._known.get((kind, text))) is not None:
            return known
        found: list[tuple[int, int, Term]] = []
        if self._any[kind].search(text):
            for term in self.terms:
                for start, end in term.spans(text) if term.is_of(kind) else ():
                    if all(end <= before or after <= start for before, after, _ in found):
                        found.append((start, end, term))
        found.sort(key=lambda each: each[0])
        self._known[kind, text] = found
        return found


def _words_of(file: str) -> str:
    return re.sub(r"[-.]+", "_", file.removesuffix(Path(file).suffix))


def _spaced(expression: str) -> str:
    """The expression, in which each space matches line breaks, too; sets stay unchanged."""
    return re.sub(r"(?<!\[) (?!\])", r"\\s+", expression)


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(path, pattern) for pattern in patterns)


def _has_three_more_words(text: str, start: int) -> bool:
    end = _SENTENCE_END.search(text, start)
    return len(text[start : end.start() if end else len(text)].split()) >= 3


def _is_question(text: str, start: int) -> bool:
    end = _SENTENCE_END.search(text, start)
    return end is not None and end[0] == "?"
