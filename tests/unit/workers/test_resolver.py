"""Slow look-ups of hosts delay no other tenant (D8)."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.actions.worker_bench import DEADLINE_S

from goald.adapters.providers.http.connections import TENANT, CheckedResolver
from goald.domain.actions.destinations import DestinationPolicy


class NameServer:
    """Answers immediately, except for hosts that begin with `slow`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = threading.Event()

    def look_up(self, host: str, port: int) -> list[Any]:
        self.asked.append(host)
        if host.startswith("slow"):
            self.answers.wait(DEADLINE_S)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", port))]


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    server = NameServer()
    yield server
    server.answers.set()


async def resolve(resolver: CheckedResolver, tenant: str, host: str) -> str:
    TENANT.set(tenant)
    (found,) = await resolver.resolve(host, 443)
    return found["host"]


async def test_slow_look_ups_of_a_tenant_do_not_delay_another(server: NameServer) -> None:
    resolver = CheckedResolver(DestinationPolicy(), server.look_up)
    slow = [asyncio.create_task(resolve(resolver, "acme", f"slow-{n}")) for n in range(100)]
    async with asyncio.timeout(DEADLINE_S):
        while len(server.asked) < 2:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        assert len(server.asked) == 2
        assert await resolve(resolver, "beta", "example.com") == "93.184.215.14"
        server.answers.set()
        assert set(await asyncio.gather(*slow)) == {"93.184.215.14"}
    await resolver.close()


async def test_requests_for_the_same_host_share_a_look_up(
    server: NameServer,
) -> None:
    resolver = CheckedResolver(DestinationPolicy(), server.look_up)
    requests = [asyncio.create_task(resolve(resolver, "acme", "slow")) for _ in range(50)]
    async with asyncio.timeout(DEADLINE_S):
        while not server.asked:
            await asyncio.sleep(0.001)
        requests[0].cancel()
        await asyncio.sleep(0.01)
        server.answers.set()
        assert set(await asyncio.gather(*requests[1:])) == {"93.184.215.14"}
    assert server.asked == ["slow"]
    await resolver.close()
