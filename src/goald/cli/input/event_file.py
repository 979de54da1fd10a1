"""A file of events, one JSON object a line, read as it is sent: never the whole of it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TypeAlias

LONGEST_LINE = 1 << 20
"""An event may have 64 KiB (D9); a longer line than this is not even taken into memory."""


@dataclass(frozen=True, slots=True)
class EventLine:
    """A line that can be sent: its tenant and contact are known."""

    number: int
    """From 1 on."""
    end: int
    """Bytes read of the file, this line included."""
    tenant: str
    contact: str
    payload: bytes
    """The event as it is in the file."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that belongs to no stream, and why."""

    number: int
    end: int
    reason: str


Line: TypeAlias = EventLine | BadLine


def read(file: IO[bytes], from_line: int = 1) -> Iterator[Line]:
    """Every line from this number on; empty ones are passed over. Blocks on the file.

    Only what routing needs is looked at: an event that is bad otherwise is goald's to judge.
    """
    number = end = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        end += len(line)
        whole = len(line) < LONGEST_LINE or line.endswith(b"\n")
        while not whole:
            rest = file.readline(LONGEST_LINE)
            end += len(rest)
            whole = len(rest) < LONGEST_LINE or rest.endswith(b"\n")
            line = b"!"
        if number >= from_line and line.strip():
            yield (
                BadLine(number, end, "the line is longer than 1 MiB")
                if line == b"!"
                else _line(number, end, line)
            )


def _line(number: int, end: int, line: bytes) -> Line:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadLine(number, end, f"not JSON: {error}")
    if not isinstance(event, dict):
        return BadLine(number, end, "not a JSON object")
    data = event.get("data")
    tenant = event.get("tenantid")
    contact = data.get("contact_id") if isinstance(data, dict) else None
    for name, value in (("tenantid", tenant), ("data.contact_id", contact)):
        if not isinstance(value, str) or not value:
            return BadLine(number, end, f"{name} is missing, or is not text")
        try:
            value.encode()
        except UnicodeEncodeError:
            return BadLine(number, end, f"{name} holds half of a surrogate pair")
    return EventLine(number, end, str(tenant), str(contact), line.strip())
