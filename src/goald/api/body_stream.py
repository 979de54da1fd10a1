"""The body of a request in parts, limited in size (D9)."""

from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import ClientDisconnect, Request

from goald.api.body_memory import FREE_BYTES, BodyMemory, BodyOwner, BodyReservation
from goald.api.problems import TooLarge

MAX_BYTES: Final = 1 << 20
_RESERVATION = "goald.body_reservation"


def reserve(request: Request, memory: BodyMemory, owner: BodyOwner) -> BodyReservation:
    """Return the reservation of the request's body, which counts for `owner`. It is empty at first,
    and belongs to the request until `release`."""
    reservation: BodyReservation = request.scope.setdefault(
        _RESERVATION, BodyReservation(memory, owner)
    )
    return reservation


def release(request: Request) -> None:
    """Release the memory of the body."""
    if _RESERVATION in request.scope:
        request.scope.pop(_RESERVATION).release()


def declared_size(request: Request) -> int | None:
    """The size that the headers declare; None if they do not. Raises TooLarge."""
    declared = request.headers.get("content-length")
    if declared is None:
        return None
    if not declared.isdecimal() or int(declared) > MAX_BYTES:
        raise _too_large()
    return int(declared)


async def body_parts(request: Request) -> AsyncIterator[bytes]:
    """Yields the body as it arrives. Raises TooLarge if it has, or declares, more than MAX_BYTES;
    ClientDisconnect if the client disconnects."""
    declared_size(request)
    size, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BYTES:
            raise _too_large()
        more = message.get("more_body", False)
        yield part


async def read_body(request: Request) -> bytes:
    """Return the body, for which `reserve` was called. Waits for memory before it reads anything
    beyond FREE_BYTES. Raises what `body_parts` and `BodyReservation.grow` raise."""
    reservation: BodyReservation = request.scope[_RESERVATION]
    declared = declared_size(request)
    await reservation.grow(declared or 0)
    parts: list[bytes] = []
    size = 0
    try:
        async for part in body_parts(request):
            parts.append(part)
            size += len(part)
            if declared is None and size > FREE_BYTES:
                await reservation.grow(MAX_BYTES)
        return b"".join(parts)
    finally:
        parts.clear()  # the traceback of an error keeps this frame
        reservation.shrink(size)


def provide_body(request: Request, body: bytes) -> None:
    """Let `request.body` return this body, which was read already."""
    request._body = body


async def wait_for_disconnect(request: Request) -> None:
    """Return when the client has disconnected. Reads the rest of the body and keeps nothing."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _too_large() -> TooLarge:
    return TooLarge("The request is larger than 1 MiB")
