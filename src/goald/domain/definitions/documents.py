"""The document of a definition: what may be stored, and its digest."""

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from goald.domain.definitions.json_text import json_text
from goald.domain.errors import InvalidConfiguration

MAX_DOCUMENT_BYTES: Final = 256 << 10
MAX_DOCUMENT_DEPTH: Final = 64
_MAX_DIGITS: Final = 64


def document_text(document: Mapping[str, Any]) -> str:
    """Return a document as JSON in the order of its members. It need not be a valid definition.
    Raises InvalidConfiguration if it is too large, or cannot be stored as JSON."""
    _require_storable(document, MAX_DOCUMENT_DEPTH)
    text = json_text(document)
    size = len(text.encode())
    if size > MAX_DOCUMENT_BYTES:
        raise InvalidConfiguration(
            f"The definition takes {size:,} bytes, more than {MAX_DOCUMENT_BYTES:,}"
        )
    return text


def document_digest(document: Mapping[str, Any]) -> bytes:
    """Return the SHA-256 of a document. Equal documents have equal digests, in whatever order their
    members are and however their numbers are written."""
    return hashlib.sha256(json_text(document, sort_keys=True).encode()).digest()


def actions_of(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the fields under `with` of each action of a valid document, by the id of its step."""
    found = {}
    rest = [*document["steps"]]
    while rest:
        step = rest.pop()
        if "action" in step:
            found[step["id"]] = step.get("with") or {}
        rest += step.get("then") or ()
        rest += step.get("else") or ()
    return found


def _require_storable(value: Any, depth: int) -> None:
    """Raise InvalidConfiguration for a value that Postgres would refuse, and for a deeper one."""
    match value:
        case str():
            if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
                raise InvalidConfiguration("A text contains a null character or half a character")
        case bool() | None:
            pass
        case int() | Decimal():
            if not Decimal(value).is_finite() or abs(Decimal(value).adjusted()) > _MAX_DIGITS:
                raise InvalidConfiguration(f"A number has more than {_MAX_DIGITS} digits")
        case Mapping() | list():
            if depth == 0:
                raise InvalidConfiguration(
                    f"The definition is nested more than {MAX_DOCUMENT_DEPTH} deep"
                )
            for item in value.values() if isinstance(value, Mapping) else value:
                _require_storable(item, depth - 1)
            for name in value if isinstance(value, Mapping) else ():
                if not isinstance(name, str):
                    raise InvalidConfiguration(f"The name {name!r} is no text: put it in quotes")
                _require_storable(name, depth)
        case _:
            raise InvalidConfiguration(f"A value of the type {type(value).__name__} is not JSON")
