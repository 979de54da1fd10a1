"""Reads a source document: a preset, changed by a source's overrides."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from goald.domain.errors import InvalidConfiguration
from goald.domain.suggestions import unknown_field
from goald.sources.documents.field_names import field_names
from goald.sources.documents.fields import SourceDocument

_MESSAGES: Final = {
    "missing": "required but missing",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "dict_type": "must be a map",
    "model_type": "must be a map",
    "model_attributes_type": "must be a map",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "string_pattern_mismatch": "has characters that are not allowed here",
    "union_tag_not_found": "needs `type`: hmac, timestamped, standard_webhooks, hubspot, ed25519, "
    "basic, bearer, token, paypal or none",
}
_MAX_DEPTH: Final = 16
SCHEMES: Final = frozenset(
    {"hmac", "timestamped", "standard_webhooks", "hubspot", "ed25519", "basic", "bearer", "token"}
    | {"paypal", "none"}
)


def read_document(contents: Mapping[str, Any]) -> SourceDocument:
    """Validate a document and compile its expressions.

    Raises InvalidConfiguration with every fault; the place of a fault is a JSON pointer
    into the document, such as `/events/order_paid/amount`.
    """
    try:
        document = SourceDocument.model_validate(contents)
    except ValidationError as error:
        faults = [
            (_pointer(fault["loc"]), _message(fault["type"], fault["loc"], fault["msg"]))
            for fault in error.errors(include_url=False, include_input=False)
        ]
        raise _invalid(faults) from None
    missing = [
        (f"/parameters/{name}", "this source needs a value: set it in `overrides`")
        for name, value in document.parameters.items()
        if value is None
    ]
    if missing:
        raise _invalid(missing)
    return document


def merged(document: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with a source's changes, by the rules of a JSON merge patch (RFC 7396):
    maps are merged, null removes, everything else replaces. A `scheme` with a `type` replaces the
    whole scheme, and null for a parameter asks for its value again. Raises InvalidConfiguration for
    maps that are nested too deeply."""
    return _merge(document, overrides, ())


def with_contact(overrides: Mapping[str, Any], contact: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return overrides with the short form of `contact` in them."""
    if contact is None:
        return dict(overrides)
    own = overrides.get("contact")
    return {**overrides, "contact": {**(own if isinstance(own, dict) else {}), **contact}}


def _merge(
    base: Mapping[str, Any], changes: Mapping[str, Any], path: tuple[str, ...]
) -> dict[str, Any]:
    if len(path) > _MAX_DEPTH:
        raise _invalid([("/" + "/".join(path[:3]), "is nested too deeply")])
    result = dict(base)
    for name, change in changes.items():
        if change is None and path != ("parameters",):
            result.pop(name, None)
        elif not isinstance(change, Mapping) or ((*path, name) == ("scheme",) and "type" in change):
            result[name] = change
        else:
            inner = result.get(name)
            result[name] = _merge(
                inner if isinstance(inner, Mapping) else {}, change, (*path, name)
            )
    return result


def _invalid(faults: Sequence[tuple[str, str]]) -> InvalidConfiguration:
    lines = "; ".join(f"{place or '/'}: {fault}" for place, fault in faults)
    return InvalidConfiguration(f"the source's document is invalid: {lines}", faults)


def _pointer(path: Sequence[int | str]) -> str:
    keys = [
        str(key).replace("~", "~0").replace("/", "~1")
        for index, key in enumerate(path)
        if key != "[key]" and not (index == 1 and path[0] == "scheme" and key in SCHEMES)
    ]
    return "".join(f"/{key}" for key in keys)


def _message(kind: str, path: Sequence[int | str], message: str) -> str:
    if kind == "extra_forbidden":
        return unknown_field(str(path[-1]), field_names(path[:-1]))
    return _MESSAGES.get(kind, message)
