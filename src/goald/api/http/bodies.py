"""Request bodies: limited in size, and parsed as strict JSON (D9)."""

import json
import re
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

from starlette.requests import Request

from goald.api.body_stream import read_body
from goald.api.problems import BadRequest, UnsupportedMedia


@dataclass(frozen=True, slots=True)
class JsonLimits:
    """The limits of a body as JSON."""

    depth: int = 32
    keys: int = 64
    """Of one object."""
    string_bytes: int = 1 << 10
    values: int = 10_000
    """Values per body, far more than any valid body has. Parsing 1 MiB of brackets would block
    other callers for a third of a second (D8)."""


DEFAULT_LIMITS = JsonLimits()
_MAX_NUMBER = 64
_MAX_EXPONENT = 400
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class StrictRequest(Request):
    """A request whose body is read once, up to 1 MiB, and whose JSON keeps decimals exact. FastAPI
    uses both methods. `admit` must have admitted the caller, whose memory the body takes."""

    async def body(self) -> bytes:
        """Return the body. Raises TooLarge; TooManyRequests or Unavailable if there is no memory
        for it; ClientDisconnect if the client disconnects."""
        if not hasattr(self, "_body"):
            self._body = await read_body(self)
        return self._body

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = strict_json(await self.body())
        return self._json

    async def take_json(self) -> None:
        """Parse the body as JSON if there is one. Raises TooLarge, UnsupportedMedia or
        BadRequest."""
        if await self.body():
            self.require_json()
            await self.json()

    def require_json(self) -> None:
        """Raise UnsupportedMedia if the headers declare another content type or encoding."""
        if self.headers.get("content-encoding", "identity") != "identity":
            raise UnsupportedMedia("The body must not be compressed")
        media, _, parameters = self.headers.get("content-type", "").lower().partition(";")
        kind, _, subtype = media.strip().partition("/")
        if kind != "application" or not (subtype == "json" or subtype.endswith("+json")):
            raise UnsupportedMedia("The body must be application/json")
        charset = re.search(r'charset="?([^\s;"]*)', parameters)
        if charset and charset[1] not in ("utf-8", "utf8"):
            raise UnsupportedMedia("The body must be UTF-8")


def strict_json(body: bytes, limits: JsonLimits = DEFAULT_LIMITS) -> Any:
    """Parse JSON, with decimals as Decimal.

    Raises BadRequest for anything but JSON in UTF-8, and for a duplicate key, NaN, infinity, NUL, a
    lone surrogate, a number of more than 64 digits, or more than the limits allow. Values are
    counted by their punctuation, including punctuation in strings.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > limits.values:
        raise BadRequest(f"The body has more than {limits.values:,} values")
    try:
        value = json.loads(
            body.decode(),
            object_pairs_hook=_object,
            parse_float=_decimal,
            parse_int=_integer,
            parse_constant=_constant,
        )
    except UnicodeDecodeError:
        raise BadRequest("The body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise BadRequest(f"The body has more than {limits.depth} levels") from None
    _check(value, limits, limits.depth)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = Counter(key for key, _ in pairs)
        raise BadRequest(f"The key {keys.most_common(1)[0][0][:64]!a} is duplicated")
    return value


def _decimal(text: str) -> Decimal:
    if len(text) > _MAX_NUMBER:
        _refuse_number(text)
    value = Decimal(text)
    if not value.is_finite() or abs(value.adjusted()) > _MAX_EXPONENT:
        _refuse_number(text)
    return value


def _integer(text: str) -> int | Decimal:
    if len(text) > _MAX_NUMBER:
        _refuse_number(text)
    # As an int, -0 would lose its sign.
    return Decimal(text) if text == "-0" else int(text)


def _constant(text: str) -> NoReturn:
    raise BadRequest(f"{text} is not a JSON number")


def _refuse_number(text: str) -> NoReturn:
    raise BadRequest(f"The number {text[:_MAX_NUMBER]} has too many digits")


def _check(value: Any, limits: JsonLimits, depth: int) -> None:
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            raise BadRequest("A string contains a NUL or a lone surrogate")
        if len(value.encode()) > limits.string_bytes:
            raise BadRequest(f"A string is longer than {limits.string_bytes:,} bytes")
    elif isinstance(value, (dict, list)):
        if depth == 0:
            raise BadRequest(f"The body has more than {limits.depth} levels")
        if isinstance(value, dict):
            if len(value) > limits.keys:
                raise BadRequest(f"A JSON object in the body has more than {limits.keys} keys")
            for key in value:
                _check(key, limits, depth - 1)
        for item in value.values() if isinstance(value, dict) else value:
            _check(item, limits, depth - 1)
