"""Reads a file of events, one JSON object per line, without loading the whole file into memory."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TypeAlias

from goald.domain.ids import id_text

LONGEST_LINE = 1 << 20
"""Bytes. An event may have 256 KiB (D9); a line longer than this is skipped unread."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
OTHER_ENCODINGS = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
"""By their byte-order marks, the longest first."""


@dataclass(frozen=True, slots=True)
class EventLine:
    """A line with an event whose tenant and contact are known."""

    number: int
    """The first line is 1."""
    end: int
    """The position in the file, in bytes, after this line."""
    tenant: str
    contact: str
    payload: bytes
    """The event as it is in the file."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be sent, and the reason."""

    number: int
    end: int
    reason: str


Line: TypeAlias = EventLine | BadLine


def read(file: IO[bytes], from_line: int = 1) -> Iterator[Line]:
    """Yields every non-empty line from line `from_line` on. Blocks on the file.

    Accepts a UTF-8 byte-order mark. Checks only the line length, the JSON, and that `tenantid` and
    `data.contact_id` are present; goald dead-letters events that are otherwise invalid.
    """
    number = end = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        end += len(line)
        too_long = not _is_complete(line)
        rest = line
        while not _is_complete(rest):
            rest = file.readline(LONGEST_LINE)
            end += len(rest)
        if number == 1:
            line = line.removeprefix(BYTE_ORDER_MARK)
        if number < from_line or not line.strip():
            continue
        if too_long:
            yield BadLine(number, end, "the line is longer than 1 MiB")
        elif number == 1 and (encoding := _other_encoding(line)):
            yield BadLine(number, end, f"the file is {encoding}: save it as UTF-8")
        else:
            yield _parse(number, end, line)


def _is_complete(line: bytes) -> bool:
    """Whether a read ended at the end of a line or of the file."""
    return len(line) < LONGEST_LINE or line.endswith(b"\n")


def _other_encoding(first_line: bytes) -> str | None:
    marks = OTHER_ENCODINGS.items()
    return next((name for mark, name in marks if first_line.startswith(mark)), None)


def _parse(number: int, end: int, line: bytes) -> Line:
    try:
        # As text: of bytes, the parser would guess the encoding.
        event = json.loads(line.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        return BadLine(number, end, "not UTF-8")
    except (ValueError, RecursionError) as error:
        return BadLine(number, end, f"not JSON: {error}")
    if not isinstance(event, dict):
        return BadLine(number, end, "not a JSON object")
    data = event.get("data")
    tenant = id_text(event.get("tenantid"))
    contact = id_text(data.get("contact_id")) if isinstance(data, dict) else None
    for name, value in (("tenantid", tenant), ("data.contact_id", contact)):
        if not value:
            return BadLine(number, end, f"{name} is missing or is neither text nor an integer")
        try:
            value.encode()
        except UnicodeEncodeError:
            return BadLine(number, end, f"{name} contains half of a surrogate pair")
    return EventLine(number, end, str(tenant), str(contact), line.strip())
