"""Ids in paths: opaque strings, which may contain a slash, sent as `%2F`."""

import re
from typing import Annotated, Any, Final
from urllib.parse import unquote_to_bytes

from fastapi import Path
from pydantic import AfterValidator, BeforeValidator, StringConstraints
from pydantic_core import PydanticCustomError

from goald.domain.ids import ID_PATTERN, MAX_ID_BYTES, MAX_ID_CHARACTERS

HOOKS: Final = "/hooks/"
"""The paths of sources: tenant, name and key follow."""
_SLASH = re.compile(rb"%2f", re.IGNORECASE)
_SLASH_PLACEHOLDER = "\udc2f"
"""Stands for a slash within an id until the route is matched. It occurs in no other path: it is
neither a character nor the result of decoding an invalid byte."""


def routing_path(raw: bytes) -> str:
    """Return the path for route matching: decoded, except for slashes within its segments. Bytes
    that are not UTF-8 become surrogates, which no id may contain."""
    segments = (unquote_to_bytes(segment) for segment in _SLASH.split(raw))
    return _SLASH_PLACEHOLDER.join(
        segment.decode("utf-8", "surrogateescape") for segment in segments
    )


def with_slashes(value: Any) -> Any:
    """Return a matched segment of a path with the slashes that it contains. Returns anything but
    text unchanged."""
    return value.replace(_SLASH_PLACEHOLDER, "/") if isinstance(value, str) else value


def loggable(path: str) -> str:
    """Return a path without the key of a source, which would let readers of the log send."""
    if not path.startswith(HOOKS):
        return path
    parts = path.split("/")
    return "/".join([*parts[:4], "KEY"]) if len(parts) > 4 else path


PathText = Annotated[
    str, BeforeValidator(with_slashes), Path(description="Any text; an unknown one gets 401.")
]
"""The parameter type for a part of a path that is not validated."""


def _of_id_bytes(text: str) -> str:
    if len(text.encode()) > MAX_ID_BYTES:
        raise PydanticCustomError("id_bytes", "must have at most 768 bytes in UTF-8")
    return text


PathId = Annotated[
    str,
    # Before the function, so that Pydantic counts characters and not items.
    StringConstraints(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=ID_PATTERN),
    BeforeValidator(with_slashes),
    AfterValidator(_of_id_bytes),
    Path(description="1 to 256 characters, at most 768 bytes, no control or invisible characters."),
]
"""The parameter type for an id of the platform in a path. Invalid ids get 400."""
