"""Bodies of signed requests: the only bodies that are read before the caller is authenticated
(docs/decisions/0019)."""

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.requests import Request

from goald.api.body_memory import SIGNED, BodyMemory, BodyOwner, BodyReservation, MemoryLimits
from goald.api.body_stream import body_parts, reserve
from goald.api.problems import BadRequest

BODY_S: Final = 10.0
"""Timeout of a body."""


class SignedBodyReader:
    """Bounds the memory for callers that no quota applies to yet. Bound to one event loop.

    No request waits for memory. A body for which there is none is verified as it arrives, and not
    kept. So a sender without the secret learns nothing from the response or its time: neither
    whether the webhook exists, nor how much memory others use.
    """

    def __init__(self, limits: MemoryLimits = SIGNED) -> None:
        self._memory = BodyMemory(limits)

    async def read(
        self, request: Request, sender: BodyOwner, check: Callable[[bytes], None], *, keep: bool
    ) -> bytes | None:
        """Pass each part of the body to `check`, and return the body; None if there is no memory
        for it, and without `keep`, which takes as long. The memory belongs to the request until
        `release`.

        Raises BadRequest if the body takes longer than BODY_S, and what `body_parts` raises.
        """
        reservation = reserve(request, self._memory, sender)
        try:
            async with asyncio.timeout(BODY_S):
                return await _read(request, reservation, check, keep=keep)
        except TimeoutError:
            raise BadRequest(f"The body was not received within {BODY_S:g} s") from None


async def _read(
    request: Request,
    reservation: BodyReservation,
    check: Callable[[bytes], None],
    *,
    keep: bool,
) -> bytes | None:
    parts: list[bytes] = []
    size = 0
    try:
        async for part in body_parts(request):
            check(part)
            size += len(part)
            if keep and reservation.try_grow(size):
                parts.append(part)
            else:
                keep = False
                parts.clear()
                reservation.release()
        return b"".join(parts) if keep else None
    finally:
        parts.clear()  # the traceback of an error keeps this frame
