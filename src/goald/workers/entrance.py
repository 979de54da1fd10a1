"""Passes the gate of one job, right before its provider is called (X2)."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from goald.domain.actions.gates import GateId
from goald.domain.actions.job import Job
from goald.domain.errors import GoaldError, ServiceUnavailable
from goald.ports.actions.jobs import JobQueue, Passed, PassRequest
from goald.ports.clock import Clock
from goald.workers.batcher import Batcher
from goald.workers.observer import Unobserved, WorkerObserver
from goald.workers.provider import CallTooLate

CALL_WITHIN_S: Final = 0.25
"""A call begins at most this long after the request for its gate was sent."""
_PAUSE_S: Final = 0.2
_ATTEMPTS: Final = 5
"""How often a worker that is too slow passes the gate again before it gives up the job."""


class GateRefused(GoaldError):
    """The gate does not let the worker call the provider. `answer` says why."""

    def __init__(self, text: str, answer: Passed = Passed.REFUSED_CLOSED) -> None:
        super().__init__(text)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class _Sent:
    """An answer, and when its request was sent, on the monotonic clock."""

    answer: Passed
    sent_at: float


class GateKeeper:
    """Passes gates for all jobs of a worker, many in one call."""

    def __init__(
        self,
        queue: JobQueue,
        clock: Clock,
        new_token: Callable[[], bytes],
        observer: WorkerObserver | None = None,
    ) -> None:
        """`new_token` returns 16 random bytes."""
        self._queue = queue
        self.observer = observer or Unobserved()
        self.clock = clock
        self.new_token = new_token
        self.send = Batcher(self._send)
        self._return = Batcher(self._send_returns)

    async def _send(self, requests: Sequence[PassRequest]) -> list[_Sent]:
        sent_at = self.clock.monotonic()
        answers = await self._queue.pass_gates(requests)
        return [_Sent(answer, sent_at) for answer in answers]

    async def _send_returns(self, passed: Sequence[tuple[GateId, bytes]]) -> list[None]:
        await self._queue.return_gates(passed)
        return [None] * len(passed)

    async def return_gate(self, job: Job, token: bytes) -> None:
        """Return a gate, again and again while Redis is unavailable. A worker that is too slow for
        one call is too slow for many, so gates are returned together."""
        self.observer.gate_returned()
        while True:
            try:
                await self._return((job.gate, token))
            except ServiceUnavailable:
                await self.clock.sleep(_PAUSE_S)
            else:
                return


class Entrance:
    """The gate of one job: the `Enter` of its provider, which awaits it when it can write the first
    byte of the call."""

    def __init__(self, job: Job, gates: GateKeeper, *, is_taken_over: bool, is_keyed: bool) -> None:
        """`is_taken_over`: whether the job was another worker's. `is_keyed`: whether the provider
        honours idempotency keys, so that it may be called again."""
        self._job = job
        self._gates = gates
        self._take_over_ms = round(job.timeout_s * 1_000) if is_taken_over else None
        self._is_keyed = is_keyed
        self._sent_at = 0.0
        self._was_called = False
        """Whether another worker may have called the provider before."""
        self.token: bytes | None = None
        """The token that has passed the gate; None if it is not passed."""

    async def __call__(self) -> None:
        """Pass the gate. When it returns, the provider must write the first byte without waiting
        for anything, or `check` first.

        Raises GateRefused if the provider must not be called. `token` is set then if the gate was
        taken over: another worker may have called the provider, and this one reports so.
        """
        for _ in range(_ATTEMPTS):
            token = self._gates.new_token()
            sent = await self._pass(token)
            if sent is None:
                continue
            if sent.answer is Passed.PASSED or (
                sent.answer is Passed.TAKEN_OVER and self._is_keyed
            ):
                if self._is_in_time(sent.sent_at):
                    self.token, self._sent_at = token, sent.sent_at
                    self._was_called = sent.answer is Passed.TAKEN_OVER
                    return
                if sent.answer is Passed.PASSED:
                    await self._gates.return_gate(self._job, token)
                    continue
            if sent.answer in {Passed.TAKEN_OVER, Passed.TAKEN_OVER_CLOSED}:
                self.token = token
            raise GateRefused(f"the gate is {sent.answer.name.lower()}", sent.answer)
        raise GateRefused("the worker is too slow to pass the gate", Passed.NOT_ADMITTED)

    def check(self) -> None:
        """Raises CallTooLate if the call would begin too long after the gate was passed."""
        if not self._is_in_time(self._sent_at):
            raise CallTooLate("the gate was passed too long ago")

    async def return_gate(self) -> bool:
        """Return the gate after CallTooLate. Returns False if another worker may have called the
        provider before: the gate stays passed then."""
        if self.token is None or self._was_called:
            return self.token is None
        token, self.token = self.token, None
        await self._gates.return_gate(self._job, token)
        return True

    def _is_in_time(self, sent_at: float) -> bool:
        return self._gates.clock.monotonic() - sent_at <= CALL_WITHIN_S

    async def _pass(self, token: bytes) -> _Sent | None:
        """The answer; None if it is unknown, and the gate was returned."""
        job = self._job
        request = PassRequest(
            job.gate, job.slot, job.tenant_id, job.workflow_id, token, self._take_over_ms
        )
        try:
            return await self._gates.send(request)
        except ServiceUnavailable:
            await self._gates.return_gate(job, token)
            return None
        except asyncio.CancelledError:
            await asyncio.shield(self._gates.return_gate(job, token))
            raise
