"""Writes of responses."""

import asyncio
from typing import Final

_CONTINUE: Final = b"HTTP/1.1 100 "


class ResponseTransport:
    """The transport of a connection, as one response sees it. Keeps the head of the response until
    its body follows, because two writes take two system calls, and the client two reads. A response
    whose body is not written, such as one to HEAD, needs `flush`."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._has_head = False

    def write(self, data: bytes) -> None:
        if self._has_head:
            if self._head:
                data = self._head + data
                self._head = b""
            self._transport.write(data)
        elif data.startswith(_CONTINUE):
            self._transport.write(data)
        else:
            self._head, self._has_head = data, True

    def flush(self) -> None:
        """Write the head if it was kept."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()
