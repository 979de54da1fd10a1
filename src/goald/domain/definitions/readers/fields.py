"""The values of a document, with their places."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from goald.domain.contacts.zones import not_a_zone, zone_names
from goald.domain.definitions.durations import duration_us
from goald.domain.definitions.faults import FaultList, Path
from goald.domain.suggestions import nearest, unknown_field

Choice = TypeVar("Choice", bound=str)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Field:
    """A value of a document and its place. The methods return what they can read; for the rest they
    add a fault, and return None or leave it out."""

    def __init__(self, value: Any, path: Path, faults: FaultList) -> None:
        self.value = value
        self.path = path
        self.faults = faults

    def fault(self, text: str) -> None:
        self.faults.add(self.path, text)

    def at(self, key: str | int, value: Any) -> "Field":
        return Field(value, (*self.path, key), self.faults)

    def members(
        self, known: Collection[str], required: Collection[str] = ()
    ) -> dict[str, "Field"] | None:
        """Return the fields of a map that are set. None if it is no map."""
        if not isinstance(self.value, Mapping):
            self.fault("must be a map")
            return None
        for name in self.value:
            if name not in known:
                self.at(str(name), None).fault(unknown_field(str(name), known))
        found = {
            name: self.at(name, value)
            for name, value in self.value.items()
            if name in known and value is not None
        }
        for name in required:
            if name not in found:
                self.at(name, None).fault("required but missing")
        return found

    def items(self, most: int | None = None, *, least: int = 0) -> list["Field"]:
        """Return the items of a list."""
        if not isinstance(self.value, Sequence) or isinstance(self.value, str):
            self.fault("must be a list")
            return []
        if len(self.value) < least:
            self.fault("must not be empty")
        if most is not None and len(self.value) > most:
            self.fault(f"must have at most {most} items")
            return []
        return [self.at(index, value) for index, value in enumerate(self.value)]

    def text(self, most: int = 255) -> str | None:
        """Return a text of 1 to `most` characters without control characters."""
        if not isinstance(self.value, str):
            self.fault("must be text: put it in quotes")
        elif not self.value:
            self.fault("must not be empty")
        elif len(self.value) > most:
            self.fault(f"must have at most {most} characters")
        elif _CONTROL.search(self.value):
            self.fault("must not contain control characters")
        else:
            return self.value
        return None

    def choice(self, choices: Sequence[Choice]) -> Choice | None:
        """Return one of these texts."""
        if isinstance(self.value, str):
            for each in choices:
                if each == self.value:
                    return each
            suggestion = nearest(self.value, choices)
            if suggestion is not None:
                self.fault(f"unknown value. Did you mean {suggestion}?")
                return None
        self.fault(f"must be one of {', '.join(choices)}")
        return None

    def flag(self) -> bool | None:
        if isinstance(self.value, bool):
            return self.value
        self.fault("must be true or false")
        return None

    def integer(self, least: int, most: int) -> int | None:
        value = self.value
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.fault(f"must be an integer from {least} to {most}")
        return None

    def duration(self) -> int | None:
        """Return a duration in microseconds."""
        try:
            return duration_us(self.value if isinstance(self.value, str) else "")
        except ValueError as error:
            self.fault(str(error))
            return None

    def zone(self) -> str | None:
        """Return the name of a time zone."""
        name = self.text(64)
        if name is not None and name not in zone_names():
            self.fault(not_a_zone(name))
            return None
        return name

    def identifier(self) -> str | None:
        """Return the id of a step or the name of a connection."""
        if isinstance(self.value, str) and _IDENTIFIER.fullmatch(self.value):
            return self.value
        self.fault("must be text of 1 to 64 letters, digits, _ and -")
        return None
