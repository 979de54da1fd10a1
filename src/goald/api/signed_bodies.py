"""Bodies of signed requests: the only bodies that are read before the caller is authenticated
(docs/decisions/0019)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import Request

from goald.api.problems import BadRequest, Unavailable

MAX_CONCURRENT: Final = 64
"""Bodies that are read or verified at a time: at most 64 MiB, over all tenants (D8)."""
MAX_WAITING: Final = 256
"""Requests that wait for a slot, with their bodies unread."""
WAIT_S: Final = 2.0
"""How long a request waits for a slot before it gets a 503."""
BODY_S: Final = 10.0
"""Timeout of a body, so that a slow sender does not keep its slot."""


class SignedBodyReader:
    """Bounds the memory for callers that no quota applies to yet. Bound to one event loop."""

    def __init__(
        self, *, max_concurrent: int = MAX_CONCURRENT, max_waiting: int = MAX_WAITING
    ) -> None:
        self._slots = asyncio.Semaphore(max_concurrent)
        self._max_concurrent = max_concurrent
        self._max_requests = max_concurrent + max_waiting
        self._requests = 0

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """Yields the body of a request. The request keeps its slot until the `with` block ends.

        Raises Unavailable, having read nothing, if the queue is full or no slot is free within
        WAIT_S; BadRequest if the body takes longer than BODY_S; otherwise what `request.body`
        raises.
        """
        if self._requests >= self._max_requests:
            raise self._overloaded()
        self._requests += 1
        try:
            try:
                async with asyncio.timeout(WAIT_S):
                    await self._slots.acquire()
            except TimeoutError:
                raise self._overloaded() from None
            try:
                yield await self._read(request)
            finally:
                self._slots.release()
        finally:
            self._requests -= 1

    async def _read(self, request: Request) -> bytes:
        try:
            async with asyncio.timeout(BODY_S):
                return await request.body()
        except TimeoutError:
            raise BadRequest(f"The body was not received within {BODY_S:g} s") from None

    def _overloaded(self) -> Unavailable:
        return Unavailable(f"{self._max_concurrent} signed bodies are being read already")
