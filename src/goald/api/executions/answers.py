"""Waits for the answers of shards to requests about executions."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from goald.domain.records.execution import RequestAnswer

POLL_S: Final = 0.01
MAX_WAITING: Final = 500
"""Requests of one tenant that wait at a time in one process. Further ones are not waited for."""

ReadAnswers: TypeAlias = Callable[[str, Sequence[str]], Awaitable[Mapping[str, RequestAnswer]]]


@dataclass(eq=False)
class _Wait:
    request: str
    answer: "asyncio.Future[RequestAnswer]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class AnswerWaiter:
    """Reads the answers to all waiting requests of a tenant together, so that many requests cost
    few queries. Bound to one event loop."""

    def __init__(self, read: ReadAnswers) -> None:
        """`read`: see `ExecutionRecords.answers`."""
        self._read = read
        self._waits: dict[str, list[_Wait]] = {}
        self._polls: set[asyncio.Task[None]] = set()

    async def wait(self, tenant: str, request: str, patience_s: float) -> RequestAnswer | None:
        """Return the answer to the request with this event id; None if no shard answers within
        `patience_s`, or if MAX_WAITING requests of the tenant wait. Raises what `read` raises."""
        waits = self._waits.get(tenant)
        if waits is None:
            waits = self._waits[tenant] = []
            poll = asyncio.create_task(self._poll(tenant))
            self._polls.add(poll)
            poll.add_done_callback(self._polls.discard)
        if len(waits) >= MAX_WAITING:
            return None
        wait = _Wait(request)
        waits.append(wait)
        try:
            async with asyncio.timeout(patience_s):
                return await wait.answer
        except TimeoutError:
            return None
        finally:
            waits.remove(wait)

    async def _poll(self, tenant: str) -> None:
        """Read answers until no request of the tenant waits."""
        waits = self._waits[tenant]
        try:
            while True:
                await asyncio.sleep(POLL_S)
                asked = [wait for wait in waits if not wait.answer.done()]
                if not waits:
                    return
                if asked:
                    await self._give(tenant, asked)
        finally:
            del self._waits[tenant]

    async def _give(self, tenant: str, asked: Sequence[_Wait]) -> None:
        try:
            found = await self._read(tenant, [wait.request for wait in asked])
        except Exception as error:
            for wait in asked:
                if not wait.answer.done():
                    wait.answer.set_exception(error)
            return
        for wait in asked:
            if wait.request in found and not wait.answer.done():
                wait.answer.set_result(found[wait.request])
