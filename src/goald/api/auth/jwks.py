"""The public keys of the token issuer, from its JWKS URL (RFC 7517).

PyJWT's own PyJWKClient blocks, reads without a size limit and fails while the URL is unavailable,
so only its key parser is used.
"""

import asyncio
import json
from typing import Any

import httpx
import jwt
import structlog

from goald.api.problems import Unauthorized
from goald.domain.errors import ServiceUnavailable
from goald.ports.clock import Clock

FRESH_S = 300.0
"""How long keys are used before they are fetched again."""
COOL_DOWN_S = 10.0
"""The minimum time between two fetches, so that tokens with invented key ids cause no load."""
FIRST_COOL_DOWN_S = 1.0
"""The minimum time between two fetches while there are no keys."""
_TIMEOUT_S = 5.0
_MAX_BYTES = 256 << 10
_MAX_KEYS = 100
_REQUIRED_MEMBERS = {
    "RS256": {"kty": "RSA"},
    "ES256": {"kty": "EC", "crv": "P-256"},
}
"""The members that a key must have to be used for an algorithm."""

_FAILURES = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RecursionError)
"""Includes, by inheritance, timeouts and documents that are not JSON."""

_log = structlog.stdlib.get_logger(__name__)


class JwksKeys:
    """`tokens.Keys` over a JWKS URL. Bound to the event loop that uses it first.

    Keys are fetched when a token first needs one, when they are older than FRESH_S, and when a
    token names an unknown key; one request at a time. While the URL is unavailable the known keys
    stay in use, and callers do not wait for the next fetch.
    """

    def __init__(self, url: str, algorithm: str, clock: Clock) -> None:
        self._url = url
        self._algorithm = algorithm
        self._clock = clock
        self._client: httpx.AsyncClient | None = None
        self._keys: dict[str | None, Any] = {}
        self._fetched_at = float("-inf")
        self._attempted_at = float("-inf")
        self._is_unavailable = False
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, kid: str | None) -> Any:
        """Return a key by its id. A token without a key id uses the only key, if there is exactly
        one. Raises Unauthorized for an unknown key, ServiceUnavailable if no key was ever
        fetched."""
        is_old = self._clock.monotonic() - self._fetched_at > FRESH_S
        if is_old or self._find(kid) is None:
            await self._refresh(wait=not self._is_unavailable or not self._keys)
        if not self._keys and self._is_unavailable:
            raise ServiceUnavailable("the JWKS URL is unavailable")
        key = self._find(kid)
        if key is None:
            raise Unauthorized("the token is signed with an unknown key")
        return key

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
        if self._client is not None:
            await self._client.aclose()

    def _find(self, kid: str | None) -> Any:
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    async def _refresh(self, wait: bool) -> None:
        if self._fetching is None:
            now = self._clock.monotonic()
            if now - self._attempted_at < (COOL_DOWN_S if self._keys else FIRST_COOL_DOWN_S):
                return
            self._attempted_at = now
            self._fetching = asyncio.create_task(self._fetch())
            self._fetching.add_done_callback(self._fetched)
        if wait:
            # Shielded: the cancellation of one caller must not cancel the fetch for the others.
            await asyncio.shield(self._fetching)

    def _fetched(self, _: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                keys = read_keys(await self._read(), self._algorithm)
        except _FAILURES as error:
            self._is_unavailable = True
            _log.warning(
                "cannot fetch keys from the JWKS URL", error=str(error) or type(error).__name__
            )
            return
        self._is_unavailable = False
        self._keys = keys
        self._fetched_at = self._clock.monotonic()

    async def _read(self) -> bytes:
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False)
        async with self._client.stream("GET", self._url) as response:
            if response.status_code != 200:
                raise ValueError(f"the response has status {response.status_code}")
            body = b""
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MAX_BYTES:
                    raise ValueError(f"the response is larger than {_MAX_BYTES} bytes")
        return body


def read_keys(document: bytes, algorithm: str) -> dict[str | None, Any]:
    """Return the keys of a JWKS that verify signatures of this algorithm, by key id. Other keys
    are ignored. Raises ValueError for a document that is not a JWKS or has no such key."""
    match json.loads(document):
        case {"keys": [*items]}:
            pass
        case _:
            raise ValueError("the document is not a JWKS")
    keys: dict[str | None, Any] = {}
    for item in items[:_MAX_KEYS]:
        if not isinstance(item, dict) or not _is_usable(item, algorithm):
            continue
        try:
            key = jwt.PyJWK(item, algorithm)
        except jwt.PyJWTError:
            continue
        if algorithm != "RS256" or key.key.key_size >= 2_048:
            keys.setdefault(item.get("kid"), key)
    if not keys:
        raise ValueError(f"the JWKS has no key for {algorithm}")
    return keys


def _is_usable(item: dict[str, Any], algorithm: str) -> bool:
    operations = item.get("key_ops", ["verify"])
    return (
        all(item.get(name) == value for name, value in _REQUIRED_MEMBERS[algorithm].items())
        and item.get("alg", algorithm) == algorithm
        and item.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and "d" not in item  # a private key must not be published
        and isinstance(item.get("kid"), str | None)
    )
