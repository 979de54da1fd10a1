"""The `key=value` words of `goald send`, as the data of an event."""

import json
import re
from collections.abc import Sequence
from typing import Any

import typer

_WORD = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)(?P<how>:?=)(?P<value>.*)", re.DOTALL)
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_TEXT = re.compile(r".*(_id|_name|_at)|reason|currency")
_CONSTANTS = {"true": True, "false": False, "null": None}


def parse(words: Sequence[str]) -> dict[str, Any]:
    """The data that these words say, in their order.

    `key=value`: whole numbers are numbers, `true`, `false` and `null` are what they say, all
    else is text: a decimal such as 19.90 too, since that is how amounts stay exact. Ids,
    names, `reason` and `currency` are always text. `key:=value` takes the value as JSON.
    typer.BadParameter for a word of another form, twice the same key, or bad JSON.
    """
    data: dict[str, Any] = {}
    for word in words:
        match = _WORD.fullmatch(word)
        if match is None:
            raise typer.BadParameter(f"{word!r} is not of the form key=value or key:=JSON")
        name = match["name"]
        if name in data:
            raise typer.BadParameter(f"{name} is given twice")
        if name == "contact_id":
            raise typer.BadParameter("the contact is given with --contact")
        data[name] = (
            _json(name, match["value"]) if match["how"] == ":=" else _value(name, match["value"])
        )
    return data


def _value(name: str, text: str) -> Any:
    if _TEXT.fullmatch(name):
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    return int(text) if _INTEGER.fullmatch(text) else text


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{name}: {text!r} is not JSON: {error}") from None
