"""Reads exits in a consumer group, each until it is obeyed."""

import asyncio
import logging
from collections import deque
from types import TracebackType
from typing import Any, Self

from redis.exceptions import ResponseError

from goald.client.connection import TIMEOUT_S, Attempts, Connection, own_connection
from goald.client.envelope import event
from goald.client.publisher import Publisher
from goald.domain.exit import Exit
from goald.redis_keys import EXITS, FIELD

_log = logging.getLogger(__name__)


class ExitReader:
    """An async iterator over `goald:exits`, for one member of a consumer group (3.6).

    When the loop comes back for the next exit, the last one's id is marked in Redis for the
    group and its entry acknowledged, both or neither; an exit whose id is marked is passed
    over, so that one that goald publishes twice is obeyed once. What this member left
    unacknowledged comes first; what another has held for longer than `take_over_s` is taken
    over, beside new ones. An exit may still come twice, after a crash or when a body takes
    longer than that: bodies have to be idempotent.

    Redis gone is waited out. For one task.

        async with ExitReader("redis://localhost", group="engine", consumer="engine-1") as exits:
            async for exit in exits:
                await take_out(exit.workflow_id, exit.enrollment_id)
    """

    def __init__(
        self,
        redis: str | Connection,
        *,
        group: str,
        consumer: str,
        prefetch: int = 16,
        take_over_s: float = 60.0,
        mark_for_s: float = 86_400.0,
        from_start: bool = True,
        patience_s: float | None = None,
    ) -> None:
        """`redis`: a URL, or a `redis.asyncio.Redis` whose settings are taken over.
        `consumer`: this member's name, the same after a restart. `prefetch`: how many exits
        it may hold. `mark_for_s`: how long an obeyed exit is remembered. `from_start`:
        whether a new group gets the exits that were there before it. `patience_s`: how long
        Redis may be gone before ServiceUnavailable is raised; None: for ever. Does not
        connect."""
        self._redis = own_connection(redis)
        self._publisher = Publisher(redis)
        self._group = group
        self._consumer = consumer
        self._prefetch = prefetch
        self._take_over_ms = int(take_over_s * 1_000)
        self._mark_for_ms = int(mark_for_s * 1_000)
        self._group_start = "0" if from_start else "$"
        self._attempts = Attempts(patience_s)
        self._held: deque[tuple[bytes, dict[bytes, bytes]]] = deque()
        self._current: Exit | None = None
        self._own_after: bytes | None = b"0"
        self._has_group = False
        self._take_over_from = b"0-0"
        self._take_over_at = 0.0

    def __aiter__(self) -> Self:
        """Begin a loop. An exit that an earlier loop was left with counts as not obeyed: it
        may have been left by an error."""
        if self._current is not None:
            self._current = None
            self._begin_again()
        return self

    async def __anext__(self) -> Exit:
        """The next exit; waits until there is one. The one before counts as obeyed."""
        while True:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    found = await self._next()
            except Exception as error:
                pause = self._attempts.failed(error)
                self._attempts.check()
                _log.warning("reading exits failed, and is tried again: %s", error)
                self._begin_again()
                await asyncio.sleep(pause)
            except BaseException:
                self._begin_again()
                raise
            else:
                self._attempts.succeeded()
                if found is not None:
                    return found

    async def acknowledged(self, exit: Exit, *, cancelled_actions: int = 0) -> None:  # noqa: A002
        """Tell goald that the exit was obeyed, and how many pending actions were cancelled
        (`workflow.exit.acknowledged`). Returns when Redis has it. Telling it twice changes
        nothing: the event's id is the exit's."""
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
                source=f"goald.client/{self._group}",
                traceparent=exit.traceparent,
            )
        )
        await self._publisher.flush()

    async def aclose(self) -> None:
        """Disconnect. The exit at hand counts as not obeyed."""
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
        """Closes. An exit whose body was left without an error, by `break`, was obeyed."""
        try:
            if error is None and self._current is not None:
                async with asyncio.timeout(TIMEOUT_S):
                    await self._finish(self._current)
        finally:
            await self.aclose()

    async def _next(self) -> Exit | None:
        """Finish the exit before, and find the next; None where there was none for a while."""
        if self._current is not None:
            await self._finish(self._current)
            self._current = None
        if not self._held:
            await self._fetch()
        while self._held:
            entry_id, fields = self._held[0]
            found = _parse(entry_id, fields)
            if found is not None and not await self._redis.exists(self._mark(found)):
                self._held.popleft()
                self._current = found
                return found
            await self._redis.xack(EXITS, self._group, entry_id)
            self._held.popleft()
        return None

    async def _finish(self, done: Exit) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(self._mark(done), 1, px=self._mark_for_ms)
            pipe.xack(EXITS, self._group, done.entry_id)
            await pipe.execute()

    def _mark(self, found: Exit) -> str:
        return f"goald:obeyed:{self._group}:{found.id}"

    async def _fetch(self) -> None:
        """Fill what is held: own entries of before first, then new and abandoned ones."""
        if not self._has_group:
            await self._make_group()
        if self._own_after is not None:
            entries = await self._read_group(self._own_after, block_ms=None)
            self._own_after = entries[-1][0] if entries else None
            self._held.extend(entries)
            return
        abandoned = await self._take_over()
        new = await self._read_group(b">", block_ms=None if abandoned else 1_000)
        self._held.extend(abandoned + new)

    async def _make_group(self) -> None:
        try:
            await self._redis.xgroup_create(EXITS, self._group, self._group_start, mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        self._has_group = True

    async def _read_group(self, after: bytes, block_ms: int | None) -> list[Any]:
        try:
            reply = await self._redis.xreadgroup(
                self._group, self._consumer, {EXITS: after}, count=self._prefetch, block=block_ms
            )
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            _log.warning("the group %s is gone; it is made again", self._group)
            self._group_start = "0"  # Nothing may be passed over that came since.
            self._has_group = False
            return []
        return list(reply[0][1]) if reply else []

    async def _take_over(self) -> list[Any]:
        """A page of what other members have held for too long; looked for now and then."""
        now = asyncio.get_running_loop().time()
        if now < self._take_over_at:
            return []
        try:
            reply = await self._redis.xautoclaim(
                EXITS,
                self._group,
                self._consumer,
                self._take_over_ms,
                self._take_over_from,
                count=self._prefetch,
            )
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            return []
        self._take_over_from = reply[0]
        if self._take_over_from == b"0-0":  # It went round once.
            self._take_over_at = now + self._take_over_ms / 2_000
        # Redis 6.2 gives entries that were deleted without id or fields.
        return [entry for entry in reply[1] if entry and entry[0] is not None]

    def _begin_again(self) -> None:
        """After a failure, whose reply may be lost with entries in it: read own ones first."""
        self._held.clear()
        self._own_after = b"0"
        self._has_group = False


def _parse(entry_id: bytes, fields: dict[bytes, bytes] | None) -> Exit | None:
    """The exit, or None for what is none: an entry of somebody else's, or a trimmed one."""
    try:
        return Exit.parse((fields or {})[FIELD.encode()], entry_id.decode())
    except (KeyError, ValueError) as error:
        _log.warning("entry %s of %s is no exit: %s", entry_id.decode(), EXITS, error)
        return None
