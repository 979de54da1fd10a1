"""Signed bodies: the only ones that are read before it is known who sent them (decision 19)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import Request

from goald.api.problems import BadRequest, Unavailable

AT_ONCE: Final = 64
"""Bodies that are read or checked at once: 64 MiB, whoever sends them (D8)."""
LINE: Final = 256
"""Requests that wait for one of them to end, their bodies unread."""
WAIT_S: Final = 2.0
"""How long they wait before they are told to come again."""
BODY_S: Final = 10.0
"""In which a body must have come: whoever sends it drop by drop holds a place no longer."""


class SignedBodies:
    """Bounds the memory that callers take whom no quota counts. For one event loop."""

    def __init__(self, *, at_once: int = AT_ONCE, line: int = LINE) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._at_once = at_once
        self._room = at_once + line
        self._here = 0

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The body of a request, which has its place until the end of the `async with`.

        Raises Unavailable, having read nothing, where the line is full or does not move for
        WAIT_S; BadRequest where the body takes longer than BODY_S; else as `request.body`.
        """
        if self._here >= self._room:
            raise self._full()
        self._here += 1
        try:
            try:
                async with asyncio.timeout(WAIT_S):
                    await self._places.acquire()
            except TimeoutError:
                raise self._full() from None
            try:
                yield await self._read(request)
            finally:
                self._places.release()
        finally:
            self._here -= 1

    async def _read(self, request: Request) -> bytes:
        try:
            async with asyncio.timeout(BODY_S):
                return await request.body()
        except TimeoutError:
            raise BadRequest(f"The body did not come within {BODY_S:g} s") from None

    def _full(self) -> Unavailable:
        return Unavailable(f"{self._at_once} signed bodies are being read already")
