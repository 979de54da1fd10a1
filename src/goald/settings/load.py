"""Reads the settings from the environment and the file, and explains what is wrong in them."""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from goald.domain.errors import SettingsError
from goald.settings.variables import FILE, PREFIX, Settings

NOT_SETTINGS = {"GOALD_CONFIG", "GOALD_TEST_DATA"}
"""Variables with the prefix that are not settings: the path of the file, and the data of the
tests."""


def load_settings(**given: Any) -> Settings:
    """Read the settings. `given` holds a command's options, None for absent ones; they take
    precedence.

    Raises SettingsError, naming every setting that is wrong or unknown. Reads the environment
    and at most one file; no other I/O.
    """
    config = os.environ.get("GOALD_CONFIG")
    if config is not None and not Path(config).is_file():
        raise SettingsError(f"GOALD_CONFIG: there is no file {config}.")
    in_file = _names_in_file(Path(config or FILE))
    _refuse_unknown(os.environ, in_file, config or FILE)
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        faults = "; ".join(
            f"{_spelling(item, in_file, config or FILE)}: {_plain(item)}" for item in error.errors()
        )
        raise SettingsError(f"wrong settings: {faults}") from None


def _names_in_file(path: Path) -> list[str]:
    try:
        return list(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise SettingsError(f"Cannot read {path}: {error}.") from None


def _refuse_unknown(environment: Mapping[str, str], in_file: list[str], path: str) -> None:
    variables = [PREFIX + name.upper() for name in Settings.model_fields]
    known = {*variables, *NOT_SETTINGS}
    faults = [
        f"unknown setting {name}{_suggestion(name.upper(), variables)}"
        for name in sorted(environment)
        if name.upper().startswith(PREFIX) and name.upper() not in known
    ]
    names = list(Settings.model_fields)
    faults += [
        f"unknown setting {name} in {path}{_suggestion(name.lower(), names)}"
        for name in in_file
        if name not in Settings.model_fields
    ]
    if faults:
        raise SettingsError("; ".join(faults))


def _suggestion(name: str, known: list[str]) -> str:
    bare = name.lower().removeprefix(PREFIX.lower())
    similar = difflib.get_close_matches(
        bare, [each.lower().removeprefix(PREFIX.lower()) for each in known], 1
    )
    if not similar:
        return ""
    prefix = PREFIX if known[0].startswith(PREFIX) else ""
    return f": did you mean {prefix}{similar[0].upper() if prefix else similar[0]}?"


def _spelling(fault: ErrorDetails, in_file: list[str], path: str) -> str:
    """The setting as the user wrote it: a variable, or a name in the file."""
    name = "_".join(str(key) for key in fault["loc"])
    variable = PREFIX + name.upper()
    is_variable = any(each.upper() == variable for each in os.environ)
    return f"{name} in {path}" if name in in_file and not is_variable else variable


def _plain(fault: ErrorDetails) -> str:
    """Pydantic's message, reworded for the person who sets it."""
    if fault["type"] == "too_short":
        return f"must have at least {fault['ctx']['min_length']} characters"
    if fault["type"] == "string_pattern_mismatch":
        choices = fault["ctx"]["pattern"].strip("^$()").split("|")
        return f"must be {', '.join(choices[:-1])} or {choices[-1]}"
    text = fault["msg"].removeprefix("Value error, ")
    text = text.replace("Input should", "must").replace("String should", "must")
    return text[:1].lower() + text[1:]
