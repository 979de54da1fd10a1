"""HTTP connections to checked addresses, which pass a gate before each request."""

import asyncio
import socket
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from goald.domain.actions.destinations import DestinationPolicy
from goald.workers.provider import Enter

ENTER: ContextVar[Enter] = ContextVar("enter")
"""Passes the gate of the request that the current task makes."""


class CheckedResolver(AbstractResolver):
    """Resolves a host once, and checks every result. aiohttp connects to these results only."""

    def __init__(self, policy: DestinationPolicy) -> None:
        self._policy = policy

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises DestinationRefused, and OSError if the host cannot be resolved."""
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, family=family
        )
        addresses = [str(sockaddr[0]) for *_, sockaddr in found]
        self._policy.check(addresses, port)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=each[0],
                proto=each[2],
                flags=socket.AI_NUMERICHOST,
            )
            for address, each in zip(addresses, found, strict=True)
        ]

    async def close(self) -> None:
        """There is nothing to close."""


class GuardedTransport:
    """A transport that asks before it writes the first byte of a request: aiohttp writes it in
    another task on Python 3.11, so time may go by after the gate was passed."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.before_write: Callable[[], None] | None = None
        """Called once, before the next write; nothing is written if it raises."""

    def write(self, data: bytes) -> None:
        self._ask()
        self._transport.write(data)

    def writelines(self, parts: Iterable[bytes]) -> None:
        self._ask()
        self._transport.writelines(parts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _ask(self) -> None:
        before_write, self.before_write = self.before_write, None
        if before_write is not None:
            before_write()


class GatedConnector(aiohttp.TCPConnector):
    """Passes the gate of a request when its connection exists, new or reused. Its age is checked
    when aiohttp writes the request."""

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        connection: Any = await super().connect(*arguments, **options)
        enter, protocol = ENTER.get(), connection.protocol
        try:
            await enter()
        except BaseException:
            connection.release()
            raise
        if not isinstance(protocol.transport, GuardedTransport):
            protocol.transport = GuardedTransport(protocol.transport)
        protocol.transport.before_write = enter.check
        return connection
