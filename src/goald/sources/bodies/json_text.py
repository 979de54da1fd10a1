"""JSON with exact numbers: no number becomes a float, because amounts are among them."""

import json
import re
from codecs import BOM_UTF8
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import Any, Final

from goald.domain.errors import InvalidEvent

MAX_BODY: Final = 1 << 20
"""Bytes of a body."""
MAX_DEPTH: Final = 32
"""Arrays and objects within each other."""
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def read_json(body: bytes | str) -> Any:
    """Return the value of JSON text: dicts, lists, text, integers, Decimals, booleans and None.

    Bytes that are not UTF-8 and lone surrogates become replacement characters, and NaN and
    infinity None, because most of a body is never used (E14); of a repeated key the last value
    counts. Raises InvalidEvent for anything that is not JSON, and for more than MAX_DEPTH levels.
    """
    text = body if isinstance(body, str) else body.removeprefix(BOM_UTF8).decode("utf-8", "replace")
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise InvalidEvent(f"the body is not JSON: {_place(error)}") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deep(value):
        raise _too_deep()
    return _without_surrogates(value) if "\\ud" in text or "\\uD" in text else value


def _without_surrogates(value: Any) -> Any:
    match value:
        case str():
            return _LONE_SURROGATE.sub("\ufffd", value)
        case list():
            return [_without_surrogates(each) for each in value]
        case dict():
            items = value.items()
            return {_without_surrogates(key): _without_surrogates(each) for key, each in items}
        case _:
            return value


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond what Decimal can hold
        return None


def _no_number(_text: str) -> None:
    return None


def _too_deep() -> InvalidEvent:
    return InvalidEvent(f"the body has more than {MAX_DEPTH} levels")


_DECODER: Final = json.JSONDecoder(parse_float=_number, parse_constant=_no_number)


def _place(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    return "a number is too long"


def _is_deep(value: Any) -> bool:
    level = [value] if isinstance(value, (dict, list)) else []
    depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            return True
        members = chain.from_iterable(
            each.values() if isinstance(each, dict) else each for each in level
        )
        level = [each for each in members if isinstance(each, (dict, list))]
    return False
