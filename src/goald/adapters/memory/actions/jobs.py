"""`ports.JobQueue` in memory."""

from collections.abc import Iterable, Sequence
from typing import Final

from goald.adapters.memory.actions.state import LiveGate, MemoryActions
from goald.domain.actions.gates import (
    TOKEN_BYTES,
    ActionType,
    GateId,
    entry_gate,
    is_before,
)
from goald.domain.ids import ContactId, TenantId
from goald.domain.streams import DEFAULT_STREAMS
from goald.ports.actions.gates import GateStatus
from goald.ports.actions.jobs import (
    Finished,
    JobResult,
    Passed,
    PassRequest,
    PayloadChange,
    ReceivedJob,
)
from goald.redis_keys import FIELD, GATE_FIELD, action_stream, event_stream

_ENDED: Final = {
    GateStatus.CLOSED: Passed.REFUSED_CLOSED,
    GateStatus.FINISHED: Passed.REFUSED_FINISHED,
}


class MemoryJobQueue:
    """`ports.JobQueue` over `MemoryActions`."""

    def __init__(self, actions: MemoryActions) -> None:
        self._actions = actions

    async def receive(
        self, actions: Sequence[ActionType], count: int, wait_seconds: float
    ) -> list[ReceivedJob]:
        found = self._receive(actions, count)
        if found:
            return found
        streams = self._actions.streams
        for action in actions:
            last = streams.stream(action_stream(action)).last
            if await streams.added_after(action_stream(action), last, wait_seconds / len(actions)):
                break
        return self._receive(actions, count)

    async def take_idle(
        self, action: ActionType, idle_seconds: float, count: int
    ) -> list[ReceivedJob]:
        shared, now = self._actions, self._actions.now_ms()
        stream = action_stream(action)
        entries = dict(shared.streams.entries(stream))
        idle = [
            entry_id
            for (name, entry_id), (delivered_ms, _) in shared.deliveries.items()
            if name == stream and now - delivered_ms >= idle_seconds * 1_000
        ][:count]
        return self._deliver(action, [(entry_id, entries[entry_id]) for entry_id in idle])

    async def pass_gates(self, requests: Sequence[PassRequest]) -> list[Passed]:
        return [self._pass(request) for request in requests]

    async def return_gates(self, passed: Sequence[tuple[GateId, bytes]]) -> None:
        self._actions.now_ms()
        for gate, token in passed:
            live = self._actions.live.get(gate)
            if live is None:
                continue
            if live.passed_at_ms is None:
                live.token = token
            elif live.is_taken_over:
                continue  # the worker before may have called the provider
            elif live.token == token and live.is_closing:
                self._actions.end(gate, GateStatus.CLOSED)
            elif live.token == token:
                live.passed_at_ms = None

    async def finish(self, results: Sequence[JobResult]) -> list[Finished]:
        return [await self._finish(result) for result in results]

    async def payload(self, tenant_id: TenantId, contact_id: ContactId, key: str) -> bytes:
        self._actions.now_ms()
        return self._actions.payloads.get((tenant_id, contact_id, key), b"")

    async def renew(self, action: ActionType, entry_ids: Sequence[bytes]) -> None:
        now, deliveries = self._actions.now_ms(), self._actions.deliveries
        for key in ((action_stream(action), entry_id) for entry_id in entry_ids):
            if key in deliveries:
                deliveries[key] = now, deliveries[key][1]

    async def discard(self, received: ReceivedJob) -> None:
        shared = self._actions
        live = shared.live.get(received.gate) if received.gate is not None else None
        if live is not None and live.passed_at_ms is not None:
            return
        if received.gate is not None and live is not None:
            shared.end(received.gate, GateStatus.CLOSED)
        shared.remove_entry(action_stream(received.action), received.entry_id)

    async def close(self) -> None:
        """There is nothing to close."""

    def _keep(self, change: PayloadChange | None) -> None:
        if change is not None:
            key = change.tenant_id, change.contact_id, change.key
            if change.data:
                self._actions.payloads.setdefault(key, change.data)
            else:
                self._actions.payloads.pop(key, None)

    def _receive(self, actions: Sequence[ActionType], count: int) -> list[ReceivedJob]:
        shared, found = self._actions, []
        for action in actions:
            stream = action_stream(action)
            new = [
                entry
                for entry in shared.streams.entries(stream)
                if (stream, entry[0]) not in shared.deliveries
            ]
            found += self._deliver(action, new[:count])
        return found

    def _deliver(
        self, action: ActionType, entries: Iterable[tuple[bytes, list[bytes]]]
    ) -> list[ReceivedJob]:
        shared, stream, now = self._actions, action_stream(action), self._actions.now_ms()
        found = []
        for entry_id, flat in entries:
            _, count = shared.deliveries.get((stream, entry_id), (0, 0))
            shared.deliveries[stream, entry_id] = now, count + 1
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            gate = entry_gate(fields.get(GATE_FIELD.encode(), b""))
            payload = fields.get(FIELD.encode(), b"")
            found.append(ReceivedJob(action, entry_id, payload, gate, count + 1))
        return found

    def _pass(self, request: PassRequest) -> Passed:
        shared, now = self._actions, self._actions.now_ms()
        if len(request.token) != TOKEN_BYTES:
            raise ValueError(f"a token has {TOKEN_BYTES} bytes")
        if shared.admitted.get(request.slot) != shared.streams.run_id:
            return Passed.NOT_ADMITTED
        gate = shared.live.get(request.gate)
        if gate is None:
            return _ENDED.get(shared.state(request.gate).status, Passed.REFUSED_UNKNOWN)
        if is_before(request.gate, shared.floors[request.slot]):
            return self._end_lost(request, gate, now)
        if gate.passed_at_ms is None:
            answer = self._pass_open(request, gate, now)
        else:
            answer = _take_over(request, gate, now - gate.passed_at_ms)
            gate.is_taken_over |= answer is not Passed.REFUSED_PASSED
        if answer in {Passed.PASSED, Passed.TAKEN_OVER, Passed.TAKEN_OVER_CLOSED}:
            gate.token, gate.passed_at_ms = request.token, now
        return answer

    def _end_lost(self, request: PassRequest, gate: LiveGate, now: int) -> Passed:
        """Close a gate of another run of the server, unless a worker still calls."""
        after = request.take_over_after_ms
        if gate.passed_at_ms is not None and (after is None or now - gate.passed_at_ms < after):
            return Passed.REFUSED_PASSED
        self._actions.end(request.gate, GateStatus.CLOSED)
        return Passed.REFUSED_UNKNOWN

    def _pass_open(self, request: PassRequest, gate: LiveGate, now: int) -> Passed:
        if (request.tenant_id, request.workflow_id) in self._actions.inactive:
            return Passed.REFUSED_INACTIVE
        if gate.expires_at_ms is not None and now > gate.expires_at_ms:
            return Passed.REFUSED_EXPIRED
        return Passed.REFUSED_CLOSED if gate.token == request.token else Passed.PASSED

    async def _finish(self, result: JobResult) -> Finished:
        shared = self._actions
        state, live = shared.state(result.gate), shared.live.get(result.gate)
        if live is not None:
            token = None if live.passed_at_ms is None else live.token
            if token != result.token:
                return Finished.REFUSED
            end = GateStatus.CLOSED if token is None else GateStatus.FINISHED
        elif state.status is GateStatus.FINISHED:
            shared.remove_entry(action_stream(result.action), result.entry_id)
            return Finished.REPEATED
        elif result.token is None:
            end = GateStatus.CLOSED
        elif state.status is GateStatus.CLOSED:
            return Finished.REFUSED
        else:
            end = GateStatus.FINISHED
        partition = result.slot % DEFAULT_STREAMS
        for event in filter(None, (result.effect, result.event)):
            await shared.streams.add(event_stream(partition), [FIELD.encode(), event])
        self._keep(result.payload)
        shared.end(result.gate, end)
        shared.remove_entry(action_stream(result.action), result.entry_id)
        return Finished.FINISHED


def _take_over(request: PassRequest, gate: LiveGate, passed_ms: int) -> Passed:
    after = request.take_over_after_ms
    if after is None or gate.token == request.token or passed_ms < after:
        return Passed.REFUSED_PASSED
    return Passed.TAKEN_OVER_CLOSED if gate.is_closing else Passed.TAKEN_OVER
