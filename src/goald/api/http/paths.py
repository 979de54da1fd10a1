"""Ids in paths: opaque strings (3.1), so that one may hold a slash, sent as `%2F`."""

import re
from typing import Annotated
from urllib.parse import unquote_to_bytes

from fastapi import Path
from pydantic import BeforeValidator, StringConstraints

_SLASH = re.compile(rb"%2f", re.IGNORECASE)
_STAND_IN = "\udc2f"
"""Stands for a slash within an id until the route is found. No path can hold it: it is no
character, nor what a byte outside of UTF-8 is turned into."""


def routing_path(raw: bytes) -> str:
    """The path that routes are matched with: decoded, but for slashes within its parts.
    Bytes that are not UTF-8 become what no id can hold."""
    parts = (unquote_to_bytes(part) for part in _SLASH.split(raw))
    return _STAND_IN.join(part.decode("utf-8", "surrogateescape") for part in parts)


def _with_slashes(value: object) -> object:
    return value.replace(_STAND_IN, "/") if isinstance(value, str) else value


PathId = Annotated[
    str,
    # Before the function, so that Pydantic counts characters and not items.
    StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$"),
    BeforeValidator(_with_slashes),
    Path(description="1 to 128 characters without control characters"),
]
"""An id that the platform owns, as a part of a path; 400 where it is none."""
