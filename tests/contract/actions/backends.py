"""The backends of gates and jobs behind one interface."""

from typing import Any, Protocol

from tests.contract.stream_backends import Backend, MemoryBackend, RedisBackend

from goald.adapters.clock import SystemClock
from goald.adapters.memory.actions.gates import MemoryGates
from goald.adapters.memory.actions.jobs import MemoryJobQueue
from goald.adapters.memory.actions.permits import MemoryPermits
from goald.adapters.memory.actions.state import MemoryActions
from goald.adapters.memory.clock import ManualClock
from goald.adapters.redis.actions.gates import RedisGates
from goald.adapters.redis.actions.permits import RedisPermits
from goald.domain.actions.gates import GateSeries
from goald.ports.actions.gates import Gates
from goald.ports.actions.jobs import JobQueue
from goald.ports.actions.permits import Permits
from goald.redis_jobs.queue import RedisJobQueue
from goald.redis_keys import GATE_SLOTS, closed_gates_key


class ActionBackend(Protocol):
    """An empty server, and what happens to it."""

    @property
    def server(self) -> Backend: ...
    def gates(self) -> Gates: ...
    def queue(self, consumer: str = "worker-1") -> JobQueue: ...
    def permits(self) -> Permits: ...
    async def now_ms(self) -> int: ...
    async def restart(self) -> None:
        """Continue as another run of the server, with all data."""

    async def fail_over(self) -> None:
        """The server becomes a replica, and then the primary again."""

    async def forget_ended(self) -> None:
        """Closed and finished gates expire."""

    async def flush(self) -> None: ...
    async def close(self) -> None: ...


class MemoryActionBackend:
    def __init__(self) -> None:
        self._clock = ManualClock()
        self.server = MemoryBackend(self._clock)
        self._actions = MemoryActions(self.server.streams)

    def gates(self) -> Gates:
        return MemoryGates(self._actions)

    def queue(self, consumer: str = "worker-1") -> JobQueue:
        return MemoryJobQueue(self._actions)

    def permits(self) -> Permits:
        return MemoryPermits(self._actions)

    async def now_ms(self) -> int:
        return self._actions.now_ms()

    async def restart(self) -> None:
        self.server.streams.run_id += "+"

    async def fail_over(self) -> None:
        await self.restart()

    async def forget_ended(self) -> None:
        self._actions.ended.clear()

    async def flush(self) -> None:
        self._actions.flush()

    async def close(self) -> None:
        pass


class RedisActionBackend:
    def __init__(self, url: str) -> None:
        self._url = url
        self.server = RedisBackend(url, ManualClock(), counts=True)
        self._client: Any = self.server.client
        self._opened: list[Gates | JobQueue | Permits] = []

    def gates(self) -> Gates:
        self._opened.append(opened := RedisGates(self._url))
        return opened

    def queue(self, consumer: str = "worker-1") -> JobQueue:
        self._opened.append(opened := RedisJobQueue(self._url, consumer, SystemClock()))
        return opened

    def permits(self) -> Permits:
        self._opened.append(opened := RedisPermits(self._url))
        return opened

    async def now_ms(self) -> int:
        seconds, microseconds = await self._client.time()
        return int(seconds) * 1_000 + int(microseconds) // 1_000

    async def restart(self) -> None:
        """The recorded run becomes another one, which no running server is."""
        records = bytearray(await self._client.get(GATE_SLOTS))
        for end in range(35, len(records) + 1, 35):
            if records[end - 16 : end].strip():
                records[end - 16 : end] = b"f" * 16
        await self._client.set(GATE_SLOTS, bytes(records))

    async def fail_over(self) -> None:
        await self._client.execute_command("REPLICAOF", "127.0.0.1", "1")
        await self._client.execute_command("REPLICAOF", "NO", "ONE")

    async def forget_ended(self) -> None:
        pages = await self._client.keys(closed_gates_key(GateSeries("*"), 0)[:-1] + "*")
        assert pages
        await self._client.delete(*pages)

    async def flush(self) -> None:
        await self._client.flushall()

    async def close(self) -> None:
        for opened in self._opened:
            await opened.close()
        await self.server.close()
