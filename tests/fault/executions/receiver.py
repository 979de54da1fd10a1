"""A provider that receives webhooks in a separate process and honours idempotency keys.

    python -m tests.fault.executions.receiver LOG SLOW

Prints its port. Answers most calls within 80 ms, a share of SLOW after up to a second. It performs
the call of a key once, and answers a repetition as the first call. Appends a line to LOG when a
call arrives, and one when it is answered. The time of an arrival is that at which the kernel got
the bytes, so it is not delayed by the scheduling of this process.
"""

import asyncio
import json
import os
import random
import socket
import struct
import sys
import time
from typing import Any, Final

SO_TIMESTAMPNS: Final = 35
"""The kernel adds the time of each segment to `recvmsg`. Not in the module `socket`."""
_TIME: Final = struct.Struct("qq")
_END_OF_HEADERS: Final = b"\r\n\r\n"


class Receiver:
    """Accepts connections and records their requests."""

    def __init__(self, log: int, slow: float) -> None:
        """`log`: a file descriptor."""
        self._slow = slow
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._keys: set[str] = set()
        self._numbers = 0

    def accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = bytearray()
        self._loop.add_reader(connection, self._read, connection, buffer)

    def _read(self, connection: socket.socket, buffer: bytearray) -> None:
        try:
            data, control, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(_TIME.size))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(connection)
            return
        at_ns = time.time_ns()
        for _, kind, value in control:
            if kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = _TIME.unpack(value)
                at_ns = seconds * 1_000_000_000 + nanoseconds
        buffer += data
        request = _take_request(buffer)
        if request is not None:
            self._receive(connection, *request, at_ns)

    def _receive(
        self, connection: socket.socket, headers: dict[str, str], body: bytes, at_ns: int
    ) -> None:
        self._numbers += 1
        key = headers["webhook-id"]
        is_repeated = key in self._keys
        self._keys.add(key)
        self._write(
            call=self._numbers, key=key, at_ns=at_ns, is_repeated=is_repeated, body=json.loads(body)
        )
        delay = (
            random.uniform(0.2, 1.0) if random.random() < self._slow else random.uniform(0, 0.08)
        )
        self._loop.call_later(delay, self._answer, connection, self._numbers)

    def _answer(self, connection: socket.socket, number: int) -> None:
        self._write(call=number, answered_ns=time.time_ns())
        try:
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        except OSError:
            self._close(connection)

    def _close(self, connection: socket.socket) -> None:
        if connection.fileno() >= 0:
            self._loop.remove_reader(connection)
            connection.close()

    def _write(self, **fields: Any) -> None:
        os.write(self._log, json.dumps(fields).encode() + b"\n")


def _take_request(buffer: bytearray) -> tuple[dict[str, str], bytes] | None:
    """Remove a complete request from the buffer. None while it is incomplete."""
    end = buffer.find(_END_OF_HEADERS)
    if end < 0:
        return None
    lines = buffer[:end].decode().split("\r\n")[1:]
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    first = end + len(_END_OF_HEADERS)
    last = first + int(headers.get("content-length", "0"))
    if len(buffer) < last:
        return None
    body = bytes(buffer[first:last])
    del buffer[:last]
    return headers, body


async def serve(path: str, slow: float) -> None:
    """Serve until the process is killed."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1_024)
    listener.setblocking(False)
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    receiver = Receiver(log, slow)
    asyncio.get_running_loop().add_reader(listener, receiver.accept, listener)
    print(listener.getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], float(sys.argv[2])))
