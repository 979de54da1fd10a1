"""Validation of a parsed configuration file, with a message and a path for each fault."""

from collections.abc import Iterable, Sequence
from typing import Any, cast, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from goald.domain.configuration.criteria import CRITERIA_BY_TYPE
from goald.domain.configuration.desired import (
    GOAL_BY_TYPE,
    DesiredConfiguration,
    DesiredEntity,
    DesiredWorkflow,
)
from goald.domain.configuration.desired_sources import DesiredSource, SecretReference
from goald.domain.configuration.goals import LISTENS_TO, CatalogKind, GoalType
from goald.domain.errors import InvalidFile
from goald.domain.suggestions import nearest, unknown_field

_KINDS: tuple[str, ...] = get_args(CatalogKind)
_GOAL_TYPES = f"goal_type must be one of {', '.join(LISTENS_TO)}"
_MESSAGES = {
    "missing": "required but missing",
    "string_type": "must be a string: put it in quotes",
    "bool_type": "must be true or false",
    "dict_type": "must be a map",
    "model_type": "must be a map",
    "model_attributes_type": "must be a map",
    "list_type": "must be a list",
    "union_tag_invalid": _GOAL_TYPES,
    "union_tag_not_found": _GOAL_TYPES,
}
"""Replacements for Pydantic's messages, by error type."""


def read_desired(contents: Any) -> DesiredConfiguration:
    """Validate the parsed contents of a file: maps, lists, strings, integers, booleans, times, and
    decimals as strings.

    Raises InvalidFile with a line for each fault, which names its path, such as
    `workflows[2].goals[0].criteria.min_amount: must be …`.
    """
    if not isinstance(contents, dict):
        raise InvalidFile("the file must be a map with `tenant` and `workflows`")
    try:
        return DesiredConfiguration.model_validate(contents)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise InvalidFile("\n".join(_fault_line(fault) for fault in faults)) from None


def format_path(path: Sequence[int | str]) -> str:
    """Return a path in the file as text, such as `workflows[2].goals[0]`."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif key not in LISTENS_TO:  # Pydantic adds the tag of the union to the path
            text += f".{key}"
    return text.removeprefix(".") or "the file"


def _fault_line(fault: ErrorDetails) -> str:
    path, kind = fault["loc"], fault["type"]
    if kind == "extra_forbidden":
        return f"{format_path(path)}: {unknown_field(str(path[-1]), _fields_at(path[:-1]))}"
    if kind == "literal_error" and path[-1] == "[key]":
        return f"{format_path(path[:-1])}: {_unknown_kind(str(path[-2]))}"
    return f"{format_path(path)}: {_MESSAGES.get(kind, fault['msg'])}"


def _unknown_kind(name: str) -> str:
    suggestion = nearest(name, _KINDS)
    if suggestion is not None:
        return f"unknown kind. Did you mean {suggestion}?"
    return f"unknown kind. The kinds are {', '.join(_KINDS)}"


def _fields_at(path: Sequence[int | str]) -> Iterable[str]:  # noqa: PLR0911 -- a case for each map
    """Return the fields that the file may have at a path."""
    match path:
        case ():
            return DesiredConfiguration.model_fields
        case ("workflows", _):
            return DesiredWorkflow.model_fields
        case ("workflows", _, "goals", _, goal_type):
            return GOAL_BY_TYPE[cast("GoalType", goal_type)].model_fields
        case ("workflows", _, "goals", _, goal_type, "criteria"):
            return CRITERIA_BY_TYPE[cast("GoalType", goal_type)].model_fields
        case ("catalog", _, _):
            return DesiredEntity.model_fields
        case ("sources", _):
            return DesiredSource.model_fields
        case ("sources", _, "secrets", _):
            return SecretReference.model_fields
        case _:
            return ()
