"""HTTP connections to checked addresses, which pass a gate before each request."""

import asyncio
import socket
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


class GatedConnector(aiohttp.TCPConnector):
    """Passes the gate of a request when its connection exists, new or reused. aiohttp then writes
    the request without waiting."""

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        connection = await super().connect(*arguments, **options)
        try:
            await ENTER.get()()
        except BaseException:
            connection.release()
            raise
        return connection
