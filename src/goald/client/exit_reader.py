"""Reads exits in a consumer group."""

import asyncio
import logging
from collections import deque
from types import TracebackType
from typing import Self

from goald.client.connection import TIMEOUT_S, Attempts, Connection, own_connection
from goald.client.consumer_group import ConsumerGroup, DeliverySettings, Entry
from goald.client.envelope import event
from goald.client.publisher import Publisher
from goald.domain.records.exit import Exit
from goald.redis_keys import EXITS, FIELD

_log = logging.getLogger(__name__)


class ExitReader:
    """An async iterator over `goald:exits`, for one member of a consumer group.

    A group receives the exits of all tenants, and each exit goes to one member of the group. Give
    each application its own group name: applications that share a group take exits from each
    other.

    An exit counts as processed when the loop asks for the next one. Its id is then marked in Redis
    and its entry acknowledged, atomically. An exit whose id is marked is skipped, so an exit that
    goald publishes twice is not processed twice. The marks of each tenant are bounded in number
    and time (`DeliverySettings`).

    Delivery is at least once. An exit is delivered again if the loop body raised, if the process
    died, or if the loop body took longer than `claim_after_s`. The loop body must therefore be
    idempotent. After a restart, a member continues with the exits that it had not processed.

    The iterator waits for exits forever; it waits while Redis is unreachable, too, unless
    `patience_s` is set. One task.

        async with ExitReader("redis://localhost", group="engine", consumer="engine-1") as exits:
            async for exit in exits:
                await end_enrollment(exit.workflow_id, exit.enrollment_id)
    """

    def __init__(
        self,
        redis: str | Connection,
        *,
        group: str,
        consumer: str,
        from_start: bool = True,
        patience_s: float | None = None,
        delivery: DeliverySettings | None = None,
    ) -> None:
        """Does not connect.

        `redis`: a URL, or a `redis.asyncio.Redis` whose settings are copied. `group`: the
        application. `consumer`: the name of this member, unique in the group and the same after a
        restart. `from_start`: whether a new group begins with the oldest exit that is stored,
        else with the next one. `patience_s`: how long Redis may be unreachable before
        ServiceUnavailable is raised; None waits forever.
        """
        self._redis = own_connection(redis)
        self._publisher = Publisher(redis)
        self._group = ConsumerGroup(
            self._redis, EXITS, group, consumer, delivery or DeliverySettings(), from_start
        )
        self._attempts = Attempts(self._redis, patience_s)
        self._fetched: deque[Entry] = deque()
        self._current: Exit | None = None

    def __aiter__(self) -> Self:
        """Start a loop. The last exit of an earlier loop counts as not processed, because an
        error may have ended that loop."""
        if self._current is not None:
            self._current = None
            self._restart()
        return self

    async def __anext__(self) -> Exit:
        """The next exit. Waits until there is one. The previous exit counts as processed.

        Raises ServiceUnavailable if Redis is unreachable for longer than `patience_s`. A
        cancelled call loses no exit.
        """
        while True:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    found = await self._next()
            except Exception as error:
                pause = self._attempts.failed(error)
                self._attempts.check()
                _log.warning("Cannot read exits, retrying: %s", error)
                self._restart()
                await asyncio.sleep(pause)
            except BaseException:
                self._restart()
                raise
            else:
                self._attempts.succeeded()
                if found is not None:
                    return found

    async def acknowledged(self, exit: Exit, *, cancelled_actions: int = 0) -> None:  # noqa: A002
        """Report to goald that the exit was processed, and how many pending actions were
        cancelled (`workflow.exit.acknowledged`).

        Returns when Redis has stored the report. A repeated report changes nothing, because its
        event id is the exit's id. Raises ServiceUnavailable if Redis fails for 30 s.
        """
        await self._publisher.publish(
            event(
                "workflow.exit.acknowledged",
                exit.tenant_id,
                exit.contact_id,
                {
                    "workflow_id": exit.workflow_id,
                    "enrollment_id": exit.enrollment_id,
                    "cancelled_actions": cancelled_actions,
                },
                id=exit.id,
                source=f"goald.client/{self._group.name}",
                traceparent=exit.traceparent,
            )
        )
        await self._publisher.flush()

    async def aclose(self) -> None:
        """Disconnect. The current exit counts as not processed."""
        self._current = None
        try:
            await self._publisher.aclose(patience_s=0.0)
        finally:
            await self._redis.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close. After `break`, the current exit counts as processed; after an error it does
        not."""
        try:
            if error is None and self._current is not None:
                async with asyncio.timeout(TIMEOUT_S):
                    await self._finish(self._current)
        finally:
            await self.aclose()

    async def _next(self) -> Exit | None:
        """Acknowledges the previous exit and returns the next unprocessed one, or None if the
        entries that were read contain none."""
        if self._current is not None:
            await self._finish(self._current)
            self._current = None
        if not self._fetched:
            self._fetched.extend(await self._group.fetch())
        while self._fetched:
            entry = self._fetched[0]
            found = _parse(entry)
            if found is not None and not await self._group.is_processed(found.tenant_id, found.id):
                self._fetched.popleft()
                self._current = found
                return found
            await self._group.acknowledge(entry.id)
            self._fetched.popleft()
        return None

    async def _finish(self, processed: Exit) -> None:
        await self._group.finish(processed.tenant_id, processed.entry_id, processed.id)

    def _restart(self) -> None:
        self._fetched.clear()
        self._group.restart()


def _parse(entry: Entry) -> Exit | None:
    """The exit, or None if the entry holds none: it is not goald's, or it was trimmed."""
    try:
        return Exit.parse((entry.fields or {})[FIELD.encode()], entry.id.decode())
    except (KeyError, ValueError) as error:
        _log.warning("Entry %s of %s is not an exit: %s", entry.id.decode(), EXITS, error)
        return None
