"""Suggestions for misspelt names in error messages."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to `name`; None if none is similar."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return matches[0] if matches else None


def unknown_field(name: str, known: Iterable[str]) -> str:
    """Return the message for an unknown field, with the most similar known one if there is
    one."""
    suggestion = nearest(name, known)
    return f"unknown field. Did you mean {suggestion}?" if suggestion else "unknown field"
