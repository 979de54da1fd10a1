"""Definitions as JSON text, in which numbers keep every digit."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any


def json_text(value: Any, *, sort_keys: bool = False) -> str:
    """Return JSON values and Decimals as compact JSON, with the members in their order. With
    `sort_keys` equal values have equal texts: members are in order of their names, and of a Decimal
    only the value counts (1.50 and 1.5 are the same, 1 and 1.0 are the same)."""
    match value:
        case str():
            return json.dumps(value, ensure_ascii=False)
        case bool() | None:
            return json.dumps(value)
        case int():
            return str(value)
        case Decimal():
            return _shortest(value) if sort_keys else str(value)
        case Mapping():
            members = sorted(value.items()) if sort_keys else value.items()
            texts = (
                f"{json_text(name)}:{json_text(member, sort_keys=sort_keys)}"
                for name, member in members
            )
            return "{" + ",".join(texts) + "}"
        case list() | tuple():
            return "[" + ",".join(json_text(item, sort_keys=sort_keys) for item in value) + "]"
    raise TypeError(f"{type(value).__name__} is not JSON")


def _shortest(value: Decimal) -> str:
    if value == value.to_integral_value() and abs(value.adjusted()) <= 64:
        return str(int(value))
    return str(value.normalize())
