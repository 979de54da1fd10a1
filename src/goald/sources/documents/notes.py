"""Remarks about a valid document: expressions that find nothing in any delivery."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from goald.domain.suggestions import nearest
from goald.sources.documents.fields import ROOT_NAMES, SourceDocument
from goald.sources.expressions.expression import Expression


def document_notes(document: SourceDocument) -> tuple[str, ...]:
    """Return a note for each expression with a name that no expression sees, such as `EUR` in place
    of `'EUR'`, with its place. Such an expression is valid, but this part of it is always null."""
    notes = []
    for place, expression in _expressions(document, ()):
        known = _known(document, place)
        notes += [_note(place, name, known) for name in sorted(expression.names - known)]
    return tuple(notes)


def _known(document: SourceDocument, place: tuple[str, ...]) -> frozenset[str]:
    """The names that the expression at a place sees: one of `let` sees those before it."""
    if place[0] == "handshake":
        return ROOT_NAMES
    names = list(document.let)
    return ROOT_NAMES.union(names[: names.index(place[1])] if place[0] == "let" else names)


def _note(place: tuple[str, ...], name: str, known: frozenset[str]) -> str:
    near = nearest(name, known)
    hint = f"Did you mean {near}?" if near else f"Text is written in quotes: '{name}'."
    return f"{'.'.join(place)}: `{name}` is unknown, so it is null in every delivery. {hint}"


def _expressions(
    value: Any, place: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Expression]]:
    match value:
        case Expression():
            yield place, value
        case BaseModel():
            for name, field in type(value).model_fields.items():
                inner = *place, field.alias or name
                yield from _expressions(getattr(value, name), inner)
        case dict():
            for name, each in value.items():
                yield from _expressions(each, (*place, str(name)))
        case tuple():
            for index, each in enumerate(value):
                yield from _expressions(each, (*place, str(index)))
