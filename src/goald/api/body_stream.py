"""The body of a request in parts, limited in size (D9)."""

from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from goald.api.problems import TooLarge

MAX_BYTES = 1 << 20


async def body_parts(request: Request) -> AsyncIterator[bytes]:
    """Yields the body as it arrives. Raises TooLarge if it has, or declares, more than MAX_BYTES;
    ClientDisconnect if the client disconnects."""
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > MAX_BYTES:
        raise TooLarge("The request is larger than 1 MiB")
    size, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BYTES:
            raise TooLarge("The request is larger than 1 MiB")
        more = message.get("more_body", False)
        yield part
