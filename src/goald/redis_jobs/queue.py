"""The jobs of actions in Redis, for a worker (X2, X4)."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from redis.exceptions import RedisError, ResponseError

from goald.domain.actions.gates import TOKEN_BYTES, ActionType, GateId, entry_gate
from goald.domain.errors import ServiceUnavailable
from goald.domain.ids import ContactId, TenantId
from goald.domain.streams import DEFAULT_STREAMS
from goald.ports.actions.jobs import (
    Finished,
    JobResult,
    Passed,
    PassRequest,
    PayloadChange,
    ReceivedJob,
)
from goald.ports.clock import Clock
from goald.redis_jobs.gate_scripts import KEPT_SECONDS
from goald.redis_jobs.places import Places, batches
from goald.redis_jobs.worker_scripts import DISCARD, FINISH, PASS, REMOVE_CONSUMERS, RETURN
from goald.redis_jobs.workflows import workflow_member
from goald.redis_keys import (
    EVENTS,
    FIELD,
    GATE_FIELD,
    GATE_FLOORS,
    GATE_SLOTS,
    GATES,
    GROUP,
    INACTIVE_WORKFLOWS,
    NEXT_STREAMS,
    STREAM_COUNT,
    action_stream,
    payloads_key,
)
from goald.redis_wire import Command, Wire, checked, code_of

_CHANGE_PAUSE_S: Final = 0.1
"""The pause between two checks whether a change of the number of streams is complete."""
_CHANGE_PATIENCE_S: Final = 10.0
_CONSUMER_IDLE_MS: Final = 3_600_000
"""A member of the consumer group that was idle for this long has ended."""
_PASSED: Final = {
    b"p": Passed.PASSED,
    b"t": Passed.TAKEN_OVER,
    b"d": Passed.TAKEN_OVER_CLOSED,
    b"a": Passed.REFUSED_PASSED,
    b"c": Passed.REFUSED_CLOSED,
    b"f": Passed.REFUSED_FINISHED,
    b"e": Passed.REFUSED_EXPIRED,
    b"u": Passed.REFUSED_UNKNOWN,
    b"i": Passed.REFUSED_INACTIVE,
    b"h": Passed.NOT_ADMITTED,
}
_FINISHED: Final = (Finished.FINISHED, Finished.REPEATED, Finished.REFUSED)


class RedisJobQueue:
    """`ports.JobQueue` over Redis. Reading, gates and results have a connection each, so they may
    run concurrently. Bound to one event loop."""

    def __init__(
        self,
        url: str,
        consumer: str,
        clock: Clock,
        *,
        kept_seconds: float = KEPT_SECONDS,
        timeout: float = 10.0,
    ) -> None:
        """`consumer`: the name of this worker in the consumer group, unique among all processes
        ever. `kept_seconds`: as in `RedisGates`. Does not connect."""
        self._consumer = consumer
        self._clock = clock
        self._kept_ms = round(max(kept_seconds, KEPT_SECONDS) * 1_000)
        self._timeout = timeout
        self._reader, self._gates, self._results = (Wire(url, timeout=timeout) for _ in range(3))
        self._grouped: set[str] = set()
        """The streams whose consumer group exists."""

    async def receive(
        self, actions: Sequence[ActionType], count: int, wait_seconds: float
    ) -> list[ReceivedJob]:
        streams = [action_stream(action) for action in actions]
        await self._create_groups(streams)
        milliseconds = max(1, int(wait_seconds * 1_000))  # 0 would block without a limit
        options = ("GROUP", GROUP, self._consumer, "COUNT", count, "BLOCK", milliseconds)
        command: Command = ("XREADGROUP", *options, "STREAMS", *streams, *([">"] * len(streams)))
        (reply,) = await self._reader.ask(command, within=wait_seconds + self._timeout)
        if self._is_without_group(reply):
            return []
        by_stream = dict(zip(map(str.encode, streams), actions, strict=True))
        return [
            _job(by_stream[stream], entry)
            for stream, entries in checked(reply) or ()
            for entry in entries
        ]

    async def take_idle(
        self, action: ActionType, idle_seconds: float, count: int
    ) -> list[ReceivedJob]:
        stream, after, claimed = action_stream(action), b"0-0", []
        await self._create_groups([stream])
        while True:
            (reply,) = await self._results.ask(
                (
                    *("XAUTOCLAIM", stream, GROUP, self._consumer, round(idle_seconds * 1_000)),
                    *(after, "COUNT", count),
                )
            )
            if self._is_without_group(reply):
                return []
            after, entries = checked(reply)[:2]
            # Redis 6.2 returns closed jobs, whose entries are deleted, as nil.
            claimed += [_job(action, entry) for entry in entries if entry and entry[1]]
            if claimed:
                return await self._counted(stream, claimed)
            if after == b"0-0":
                await self._remove_consumers(stream)
                return []

    async def _counted(self, stream: str, jobs: Sequence[ReceivedJob]) -> list[ReceivedJob]:
        """The jobs with the number of their deliveries."""
        asked: list[Command] = [
            ("XPENDING", stream, GROUP, each.entry_id, each.entry_id, 1) for each in jobs
        ]
        counted = []
        for each, reply in zip(jobs, await self._results.ask(*asked), strict=True):
            if self._is_without_group(reply):
                return []
            for *_, deliveries in checked(reply):  # none if the job is finished meanwhile
                counted.append(each._replace(deliveries=deliveries))
        return counted

    async def pass_gates(self, requests: Sequence[PassRequest]) -> list[Passed]:
        answers: list[Passed] = []
        for batch in batches(requests):
            places = Places(GATE_SLOTS, GATES, INACTIVE_WORKFLOWS, GATE_FLOORS)
            arguments: list[str | bytes | int] = [self._kept_ms]
            for each in batch:
                after = -1 if each.take_over_after_ms is None else each.take_over_after_ms
                arguments += (
                    *places.gate(each.gate),
                    each.slot,
                    workflow_member(each.tenant_id, each.workflow_id),
                    _checked_token(each.token),
                    after,
                )
            reply = await PASS.call(self._gates, places.keys, arguments)
            answers += [_PASSED[answer] for answer in reply]
        return answers

    async def return_gates(self, passed: Sequence[tuple[GateId, bytes]]) -> None:
        for batch in batches(passed):
            places = Places(GATE_SLOTS, GATES)
            arguments: list[str | bytes | int] = [self._kept_ms]
            for gate, token in batch:
                arguments += (*places.gate(gate), _checked_token(token))
            await RETURN.call(self._gates, places.keys, arguments)

    async def finish(self, results: Sequence[JobResult]) -> list[Finished]:
        answers: list[Finished] = []
        for batch in batches(results):
            places = Places(GATE_SLOTS, GATES, STREAM_COUNT, NEXT_STREAMS)
            arguments: list[str | bytes | int] = [
                self._kept_ms, DEFAULT_STREAMS, EVENTS, FIELD, GROUP,
            ]  # fmt: skip
            for each in batch:
                arguments += (
                    *places.gate(each.gate),
                    each.slot,
                    b"" if each.token is None else _checked_token(each.token),
                    places.key(action_stream(each.action)),
                    each.entry_id,
                    each.event,
                    each.effect,
                )
                arguments += (
                    ("", "", "") if each.payload is None else _payload(places, each.payload)
                )
            answers += [_FINISHED[answer] for answer in await self._finish(places, arguments)]
        return answers

    async def payload(self, tenant_id: TenantId, contact_id: ContactId, key: str) -> bytes:
        command: Command = ("HGET", payloads_key(tenant_id, contact_id), _payload_field(key))
        (reply,) = await self._results.ask(command)
        found: bytes | None = checked(reply)
        return found or b""

    async def renew(self, action: ActionType, entry_ids: Sequence[bytes]) -> None:
        stream = action_stream(action)
        for batch in batches(entry_ids):
            # JUSTID: it is no delivery, so the count of deliveries stays.
            command: Command = ("XCLAIM", stream, GROUP, self._consumer, 0, *batch, "JUSTID")
            (reply,) = await self._results.ask(command)
            if not self._is_without_group(reply):
                checked(reply)

    async def discard(self, received: ReceivedJob) -> None:
        places = Places(GATE_SLOTS, GATES)
        gate = ("", 0, "") if received.gate is None else places.gate(received.gate)
        stream = places.key(action_stream(received.action))
        arguments = (self._kept_ms, *gate, stream, received.entry_id, GROUP)
        await DISCARD.call(self._results, places.keys, arguments)

    async def close(self) -> None:
        with suppress(ServiceUnavailable, RedisError):  # another worker removes it later
            for stream in self._grouped:
                await self._remove_consumers(stream, self._consumer)
        for wire in (self._reader, self._gates, self._results):
            await wire.close()

    async def _finish(
        self, places: Places, arguments: Sequence[str | bytes | int]
    ) -> Sequence[int]:
        deadline = self._clock.monotonic() + _CHANGE_PATIENCE_S
        while True:
            reply = await FINISH.call(self._results, places.keys, arguments)
            if reply != 0:
                answers: Sequence[int] = reply
                return answers
            if self._clock.monotonic() > deadline:
                raise ServiceUnavailable("the number of event streams is being changed")
            await self._clock.sleep(_CHANGE_PAUSE_S)

    async def _create_groups(self, streams: Sequence[str]) -> None:
        """Create the consumer groups that this worker has not seen, from the oldest entry."""
        missing = [stream for stream in streams if stream not in self._grouped]
        if not missing:
            return
        commands: list[Command] = [
            ("XGROUP", "CREATE", stream, GROUP, "0", "MKSTREAM") for stream in missing
        ]
        for reply in await self._reader.ask(*commands):
            if not (isinstance(reply, ResponseError) and code_of(reply) == "BUSYGROUP"):
                checked(reply)
        self._grouped.update(missing)

    async def _remove_consumers(self, stream: str, name: str = "") -> None:
        """Remove the members of the group that ended long ago, and this one."""
        arguments = (GROUP, _CONSUMER_IDLE_MS, name)
        await REMOVE_CONSUMERS.call(self._results, [stream], arguments)

    def _is_without_group(self, reply: Any) -> bool:
        """Whether a stream or its group does not exist, as after a loss of data. The next call
        creates them."""
        if isinstance(reply, ResponseError) and code_of(reply) in {"NOGROUP", "UNBLOCKED"}:
            self._grouped.clear()
            return True
        return False


def _job(action: ActionType, entry: list[Any]) -> ReceivedJob:
    entry_id, flat = entry
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    gate = entry_gate(fields.get(GATE_FIELD.encode(), b""))
    return ReceivedJob(action, entry_id, fields.get(FIELD.encode(), b""), gate)


def _payload(places: Places, change: PayloadChange) -> tuple[int, str, bytes]:
    """The number of the key of the contact's payloads, the field, and the content."""
    name = payloads_key(change.tenant_id, change.contact_id)
    return places.key(name), _payload_field(change.key), change.data


def _payload_field(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _checked_token(token: bytes) -> bytes:
    if len(token) != TOKEN_BYTES:
        raise ValueError(f"a token has {TOKEN_BYTES} bytes")
    return token
