"""Bodies of signed requests: the only bodies that are read before the caller is authenticated
(docs/decisions/0019)."""

import asyncio
import hmac
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from goald.api.body_stream import body_parts
from goald.api.problems import BadRequest, Unavailable

WAIT_S: Final = 2.0
"""How long a request waits for a place before it gets a 503."""
BODY_S: Final = 10.0
"""Timeout of a body, so that a slow sender does not keep its place."""


@dataclass(frozen=True, slots=True)
class WebhookSender:
    """The tenant that a signed request names, and the address that it comes from."""

    tenant: str
    address: str


@dataclass(frozen=True, slots=True)
class PlaceLimits:
    """Bodies that are read or verified at a time, 1 MiB each (D8). No tenant and no address can
    take every place."""

    total: int = 64
    per_tenant: int = 16
    per_address: int = 32
    queue: int = 3
    """Requests that wait with their bodies unread, for each place, and as many of one tenant and
    of one address for each of theirs."""


class SignedBodyReader:
    """Bounds the memory for callers that no quota applies to yet. Bound to one event loop.

    Requests of senders without a secret wait and are refused like those of senders with one, but
    take none of their places and keep nothing in memory.
    """

    def __init__(self, limits: PlaceLimits | None = None) -> None:
        limits = limits if limits is not None else PlaceLimits()
        self._places = _Places(limits)
        self._unknown_places = _Places(limits)

    @asynccontextmanager
    async def body(self, request: Request, sender: WebhookSender) -> AsyncIterator[bytes]:
        """Yields the body of a request of a sender with a secret. The request keeps its place
        until the `with` block ends.

        Raises Unavailable, having read nothing, if the queue is full or no place is free within
        WAIT_S; BadRequest if the body takes longer than BODY_S; otherwise what `request.body`
        raises.
        """
        async with self._places.taken_by(sender):
            try:
                async with asyncio.timeout(BODY_S):
                    body = await request.body()
            except TimeoutError:
                raise _late() from None
            yield body

    async def discard(self, request: Request, sender: WebhookSender) -> None:
        """Read and digest the body of a request of a sender without a secret, and keep nothing
        of it. Takes as long as `body` and a verification. Raises what `body` raises."""
        async with self._unknown_places.taken_by(sender):
            digest = hmac.new(b"", digestmod="sha256")
            try:
                async with asyncio.timeout(BODY_S):
                    async for part in body_parts(request):
                        digest.update(part)
            except TimeoutError:
                raise _late() from None


class _Places:
    """Places that are limited in all, by tenant and by address; requests wait in order."""

    def __init__(self, limits: PlaceLimits) -> None:
        self._limits = limits
        self._taken: Counter[tuple[str, str]] = Counter()
        self._requests: Counter[tuple[str, str]] = Counter()
        self._waiting: dict[asyncio.Future[None], WebhookSender] = {}

    @asynccontextmanager
    async def taken_by(self, sender: WebhookSender) -> AsyncIterator[None]:
        """Holds a place until the `with` block ends. Raises Unavailable."""
        queue = self._limits.queue + 1
        if any(self._requests[key] >= limit * queue for key, limit in self._keys(sender)):
            raise _overloaded()
        self._count(self._requests, sender, 1)
        try:
            await self._take(sender)
            try:
                yield
            finally:
                self._count(self._taken, sender, -1)
                self._admit_waiting()
        finally:
            self._count(self._requests, sender, -1)

    async def _take(self, sender: WebhookSender) -> None:
        if self._has_place(sender):
            self._count(self._taken, sender, 1)
            return
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[admitted] = sender
        try:
            async with asyncio.timeout(WAIT_S):
                await asyncio.shield(admitted)
        except BaseException as error:
            if self._waiting.pop(admitted, None) is None:  # admitted at the same moment
                self._count(self._taken, sender, -1)
                self._admit_waiting()
            if isinstance(error, TimeoutError):
                raise _overloaded() from None
            raise

    def _admit_waiting(self) -> None:
        for admitted, sender in list(self._waiting.items()):
            if self._has_place(sender):
                del self._waiting[admitted]
                self._count(self._taken, sender, 1)
                admitted.set_result(None)

    def _has_place(self, sender: WebhookSender) -> bool:
        return all(self._taken[key] < limit for key, limit in self._keys(sender))

    def _keys(self, sender: WebhookSender) -> tuple[tuple[tuple[str, str], int], ...]:
        return (
            (("all", ""), self._limits.total),
            (("tenant", sender.tenant), self._limits.per_tenant),
            (("address", sender.address), self._limits.per_address),
        )

    def _count(self, counter: Counter[tuple[str, str]], sender: WebhookSender, change: int) -> None:
        for key, _ in self._keys(sender):
            counter[key] += change
            if not counter[key]:
                del counter[key]


def _late() -> BadRequest:
    return BadRequest(f"The body was not received within {BODY_S:g} s")


def _overloaded() -> Unavailable:
    return Unavailable("Too many signed bodies are being read already")
