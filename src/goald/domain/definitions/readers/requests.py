"""Reads the URL, the headers and the numbers of HTTP requests in definitions."""

import math
import re
from decimal import Decimal
from typing import Final
from urllib.parse import urlsplit

from goald.domain.actions.destinations import (
    DestinationRefused,
    is_global,
    is_private,
    literal_address,
)

MAX_HEADERS: Final = 50
_MIN_INTEGER: Final = -(1 << 63)
_MAX_INTEGER: Final = (1 << 64) - 1
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_AUTHORITY = re.compile(
    r"(\[[0-9a-f:.]{2,45}\]|[^\x00-\x20!-,/:-@\[-^`{-\x7f]{1,253})(:[0-9]{1,5})?", re.I
)
_RESERVED_HEADERS: Final = frozenset(
    {
        "connection", "content-encoding", "content-length", "content-type", "date", "expect",
        "host", "http2-settings", "keep-alive", "proxy-authorization", "proxy-connection", "te",
        "trailer", "transfer-encoding", "upgrade", "user-agent",
    }
)  # fmt: skip
"""Those that goald sets, and those that belong to the connection."""


def header_fault(name: str) -> str | None:
    """The fault of the name of a header; None if it has none."""
    if not _HEADER.fullmatch(name):
        return "is not the name of a header"
    if name.lower() in _RESERVED_HEADERS or name.lower().startswith("webhook-"):
        return "goald sets this header"
    return None


def url_fault(url: str) -> str | None:
    """The fault of a URL whose path and query may be templates; None if it has none. Whether a
    private address is allowed is decided when it is called (GOALD_WEBHOOK_ALLOW_PRIVATE)."""
    scheme, separator, rest = url.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if not separator or scheme.lower() not in ("http", "https") or not host:
        return "must be a URL that begins with https:// or http:// and a host"
    if "{{" in host or "{%" in host:
        return "the host must not be a template"
    if "@" in host:
        return "must not contain a user or a password: use a connection"
    if not _is_authority(host):
        return "the host is invalid"
    return _address_fault(urlsplit(f"//{host}").hostname or "")


def number_fault(value: object) -> str | None:
    """The fault of a number in JSON that receivers would read as another one; None for other
    values."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int) and not _MIN_INTEGER <= value <= _MAX_INTEGER:
        return "an integer must have at most 64 bits: put a longer number in quotes"
    if isinstance(value, Decimal) and not math.isfinite(float(value)):
        return "the number is too large: put it in quotes"
    return None


def _is_authority(text: str) -> bool:
    """Whether a text is a host with an optional port."""
    try:
        split = urlsplit(f"//{text}")
        is_valid = bool(split.hostname) and (split.port is None or split.port > 0)
    except ValueError:
        return False
    return is_valid and _AUTHORITY.fullmatch(text) is not None


def _address_fault(host: str) -> str | None:
    try:
        address = literal_address(host)
    except DestinationRefused:
        return "the host is an address in a form that is not accepted: write a.b.c.d, or a name"
    if address is None or is_global(address) or is_private(address):
        return None
    return "goald does not connect to this address"
