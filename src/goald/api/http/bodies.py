"""The bodies of requests: bounded, and JSON of the strict kind (D9)."""

import json
import re
from collections import Counter
from decimal import Decimal
from typing import Any, NoReturn

from starlette.requests import ClientDisconnect, Request

from goald.api.problems import BadRequest, TooLarge, UnsupportedMedia

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_KEYS = 64
MAX_STRING_BYTES = 1 << 10
MAX_VALUES = 10_000
"""In a body: far more than any that is read here needs. Those of 1 MiB of brackets would hold
up whoever else calls for a third of a second each (D8)."""
_MAX_NUMBER = 64
_MAX_EXPONENT = 400
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class StrictRequest(Request):
    """A request whose body is read once, at most 1 MiB of it, and whose JSON keeps decimals
    exact. FastAPI takes both from here."""

    async def body(self) -> bytes:
        """Raises TooLarge; ClientDisconnect where the caller goes away meanwhile."""
        if not hasattr(self, "_body"):
            self._body = await self._read()
        return self._body

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = strict_json(await self.body())
        return self._json

    async def take_json(self) -> None:
        """Read the body as JSON, if there is one. Raises TooLarge, UnsupportedMedia or
        BadRequest."""
        if await self.body():
            self.require_json()
            await self.json()

    async def _read(self) -> bytes:
        declared = self.headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared) > MAX_BYTES:
            raise TooLarge("A request may hold 1 MiB")
        chunks: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > MAX_BYTES:
                raise TooLarge("A request may hold 1 MiB")
            chunks.append(chunk)
            more = message.get("more_body", False)
        return b"".join(chunks)

    def require_json(self) -> None:
        """Raises UnsupportedMedia where the headers say that the body is something else."""
        if self.headers.get("content-encoding", "identity") != "identity":
            raise UnsupportedMedia("The body must not be compressed")
        media, _, parameters = self.headers.get("content-type", "").lower().partition(";")
        kind, _, subtype = media.strip().partition("/")
        if kind != "application" or not (subtype == "json" or subtype.endswith("+json")):
            raise UnsupportedMedia("The body must be application/json")
        charset = re.search(r'charset="?([^\s;"]*)', parameters)
        if charset and charset[1] not in ("utf-8", "utf8"):
            raise UnsupportedMedia("The body must be in UTF-8")


def strict_json(body: bytes) -> Any:
    """JSON as Python has it, with decimals as Decimal. Raises BadRequest for what is not JSON
    in UTF-8, and for a key that comes twice, NaN, infinity, NUL, a lone surrogate, a number
    out of all proportion, more than 1 KiB in a string, 64 keys in a map, 32 levels of depth or
    10,000 values (of which marks within strings count as well)."""
    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise BadRequest(f"The body holds more than {MAX_VALUES:,} values")
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
        raise BadRequest(f"The body is deeper than {MAX_DEPTH} levels") from None
    _check(value, MAX_DEPTH)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = Counter(key for key, _ in pairs)
        raise BadRequest(f"The key {keys.most_common(1)[0][0][:64]!a} comes twice")
    if len(value) > MAX_KEYS:
        raise BadRequest(f"A map may have {MAX_KEYS} keys")
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
    # An integer would lose the sign, which -0.0 keeps.
    return Decimal(text) if text == "-0" else int(text)


def _constant(text: str) -> NoReturn:
    raise BadRequest(f"{text} is not a number of JSON")


def _refuse_number(text: str) -> NoReturn:
    raise BadRequest(f"The number {text[:_MAX_NUMBER]} has too many digits")


def _check(value: Any, depth: int) -> None:
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            raise BadRequest("A string holds a NUL or half of a surrogate pair")
        if len(value.encode()) > MAX_STRING_BYTES:
            raise BadRequest(f"A string may hold {MAX_STRING_BYTES} bytes")
    elif isinstance(value, (dict, list)):
        if depth == 0:
            raise BadRequest(f"The body is deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            for key in value:
                _check(key, depth - 1)
        for item in value.values() if isinstance(value, dict) else value:
            _check(item, depth - 1)
