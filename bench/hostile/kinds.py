"""The kinds of hostile clients. Each kind is a coroutine that misbehaves on one connection, until
the server ends it or the time is over."""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

CHUNKED = b"host: a\r\ntransfer-encoding: chunked\r\n\r\n"
KNOWN = "known"
"""A tenant with a webhook `stripe`, whose secret the clients do not know."""
TRICKLE_S = 0.1
BLOCK = b"a" * 16_384
HEADERS = b"".join(b"x-%d: %s\r\n" % (number, b"a" * 100) for number in range(150))


@dataclass(slots=True)
class Client:
    """One connection of a hostile client."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    sent: int = 0

    async def send(self, data: bytes) -> None:
        """Send, as fast as the server reads."""
        self.writer.write(data)
        self.sent += len(data)
        await self.writer.drain()

    async def repeat(self, data: bytes, pause: float = 0.0) -> None:
        """Send this again and again until the server ends the connection."""
        while True:
            await self.send(data)
            if self.reader.at_eof():
                return
            await asyncio.sleep(pause)

    async def read_until_closed(self) -> None:
        while await self.reader.read(65_536):
            pass


Kind = Callable[[Client], Awaitable[None]]
KINDS: dict[str, Kind] = {}


def _kind(name: str) -> Callable[[Kind], Kind]:
    def add(kind: Kind) -> Kind:
        KINDS[name] = kind
        return kind

    return add


def _endless(name: str, begin: bytes, data: bytes, pause: float = 0.0) -> None:
    @_kind(name)
    async def endless(client: Client) -> None:
        await client.send(begin)
        await client.repeat(data, pause)


def _signed(tenant: str, *, length: int = 1_000_000) -> bytes:
    return (
        b"POST /api/v1/events?tenant=%s&provider=stripe HTTP/1.1\r\nhost: a\r\n"
        b"content-type: application/json\r\nwebhook-id: a\r\nwebhook-signature: v1,a\r\n"
        b"webhook-timestamp: %d\r\ncontent-length: %d\r\n\r\n"
        % (tenant.encode(), time.time(), length)
    )


_POST = b"POST /api/v1/events HTTP/1.1\r\n"
_endless("no request", b"", b"", TRICKLE_S)
_endless("slow head", b"GET / HTTP/1.1\r\nx: ", b"a", TRICKLE_S)
_endless("endless request line", b"GET /", BLOCK)
_endless("endless headers", b"GET / HTTP/1.1\r\n", HEADERS)
_endless("endless line breaks", b"", b"\r\n" * 8_192)
_endless("endless trailers", _POST + CHUNKED + b"0\r\n", HEADERS)
_endless("endless trailer", _POST + CHUNKED + b"0\r\nx: ", BLOCK)
_endless("endless chunk extension", _POST + CHUNKED + b"1;x=", BLOCK)
_endless("tiny chunks", _POST + CHUNKED, b"1\r\na\r\n" * 2_048)
_endless("chunks of 64 bytes", _POST + CHUNKED, (b"40\r\n" + b"a" * 64 + b"\r\n") * 256)
_endless("endless body", _POST + CHUNKED, b"4000\r\n" + BLOCK + b"\r\n")
_endless("slow body", _POST + b"host: a\r\ncontent-length: 1000000\r\n\r\n", b"a", TRICKLE_S)
_endless("no HTTP", b"", os.urandom(16_384))
_endless("pipelined requests", b"", b"GET /openapi.json HTTP/1.1\r\nhost: a\r\n\r\n" * 400)


@_kind("16 pipelined requests")
async def _pipelined(client: Client) -> None:
    while True:
        await client.send(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n" * 16)
        for _ in range(16):
            await _response(client)


@_kind("many requests")
async def _many(client: Client) -> None:
    while True:
        await client.send(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n")
        await _response(client)


@_kind("slow reader")
async def _slow_reader(client: Client) -> None:
    request = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: a\r\n\r\n"
    await client.send(request * 8)
    while await client.reader.read(512):
        await asyncio.sleep(TRICKLE_S)


@_kind("large part of a body")
async def _large_part(client: Client) -> None:
    await client.send(_signed(f"made-up-{client.number}") + BLOCK * 32)
    await client.read_until_closed()


@_kind("signed, made-up tenants")
async def _made_up(client: Client) -> None:
    await client.send(_signed(f"made-up-{client.number}"))
    await client.repeat(b"a", TRICKLE_S)


@_kind("signed, one known tenant")
async def _known(client: Client) -> None:
    await client.send(_signed(KNOWN))
    await client.repeat(b"a", TRICKLE_S)


@_kind("wrong signatures")
async def _wrong_signatures(client: Client) -> None:
    while True:
        await client.send(_signed(f"made-up-{client.number}", length=2) + b"{}")
        await _response(client)


@_kind("wrong tokens")
async def _wrong_tokens(client: Client) -> None:
    while True:
        await client.send(
            b"GET /api/v1/workflows HTTP/1.1\r\nhost: a\r\nauthorization: Bearer a\r\n\r\n"
        )
        await _response(client)


async def _response(client: Client) -> None:
    head = await client.reader.readuntil(b"\r\n\r\n")
    length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
    await client.reader.readexactly(int(length))


async def attack(kind: str, port: int, *, connections: int, seconds: float, spread: bool) -> int:
    """Keep this number of connections of one kind open for this time: a new one for each that the
    server ends. `spread`: whether each client has its own address. Returns how many were
    opened."""
    end = time.monotonic() + seconds
    opened = 0

    async def client(number: int) -> None:
        nonlocal opened
        address = f"127.0.{1 + number // 250}.{1 + number % 250}" if spread else "127.0.0.2"
        while (remaining := end - time.monotonic()) > 0:
            with contextlib.suppress(OSError, EOFError, asyncio.LimitOverrunError, TimeoutError):
                async with asyncio.timeout(remaining):
                    reader, writer = await asyncio.open_connection(
                        "127.0.0.1", port, local_addr=(address, 0)
                    )
                    opened += 1
                    try:
                        await KINDS[kind](Client(reader, writer, number))
                    finally:
                        writer.transport.abort()
            await asyncio.sleep(0.02)

    await asyncio.gather(*(client(number) for number in range(connections)))
    return opened


def run(kind: str, port: int, connections: int, seconds: float, spread: bool) -> None:
    """`attack` in a process that runs nothing else."""
    asyncio.run(attack(kind, port, connections=connections, seconds=seconds, spread=spread))
