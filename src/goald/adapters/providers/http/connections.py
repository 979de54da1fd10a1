"""HTTP connections to checked addresses, which pass a gate before each request."""

import asyncio
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from goald.domain.actions.destinations import DestinationPolicy
from goald.workers.provider import Enter

ENTER: ContextVar[Enter] = ContextVar("enter")
"""Passes the gate of the request that the current task makes."""
TENANT: ContextVar[str] = ContextVar("tenant")
"""The tenant of that request."""
_THREADS: Final = 64
_THREADS_OF_TENANT: Final = 2


LookUp = Callable[[str, int], list[Any]]
"""Resolves a host and a port, as `socket.getaddrinfo` does; may block for long."""


def _look_up(host: str, port: int) -> list[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class CheckedResolver(AbstractResolver):
    """Resolves a host once, and checks every result. aiohttp connects to these results only.

    A name server that does not answer blocks a thread for up to half a minute. So look-ups have
    separate threads, of which a tenant has at most 2, and requests for the same host share one.
    """

    def __init__(self, policy: DestinationPolicy, look_up: LookUp = _look_up) -> None:
        self._policy = policy
        self._look_up = look_up
        self._threads = ThreadPoolExecutor(_THREADS, "resolver")
        self._limits: dict[str, asyncio.Semaphore] = {}
        self._current: dict[tuple[str, str, int], asyncio.Task[list[Any]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises DestinationRefused, and OSError if the host cannot be resolved."""
        # A request that times out leaves the look-up to others, and to the thread.
        found = await asyncio.shield(self._found(TENANT.get(), host, port))
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
        for look_up in self._current.values():
            look_up.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _found(self, tenant: str, host: str, port: int) -> asyncio.Task[list[Any]]:
        """The look-up of a host that is in progress, or a new one."""
        key = tenant, host, port
        look_up = self._current.get(key)
        if look_up is None:
            look_up = self._current[key] = asyncio.create_task(self._run(tenant, host, port))
            look_up.add_done_callback(lambda done: self._end(key, done))
        return look_up

    async def _run(self, tenant: str, host: str, port: int) -> list[Any]:
        limit = self._limits.setdefault(tenant, asyncio.Semaphore(_THREADS_OF_TENANT))
        async with limit:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, self._look_up, host, port)

    def _end(self, key: tuple[str, str, int], done: asyncio.Task[list[Any]]) -> None:
        self._current.pop(key, None)
        if not any(tenant == key[0] for tenant, *_ in self._current):
            self._limits.pop(key[0], None)
        if not done.cancelled():
            done.exception()  # marks it as read, if no request waits any more


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
