"""Performs one job, from its payload to its result."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import Outcome, OutcomeKind, rate_limit_delay_s
from goald.domain.errors import (
    EncryptionKeyMissing,
    GoaldError,
    RetryableError,
    ServiceUnavailable,
)
from goald.ports.actions.jobs import Passed, PayloadChange, ReceivedJob
from goald.workers.backlog import Receiver
from goald.workers.blocks import Blocks
from goald.workers.entrance import Entrance, GateKeeper, GateRefused
from goald.workers.payloads import Payloads
from goald.workers.provider import ActionFailed, CallTooLate, Performed, Provider
from goald.workers.reporting import Reporter

_log = logging.getLogger(__name__)

Render = Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]]

_ATTEMPTS: Final = 5
"""How often a worker that is too slow for the call passes the gate again."""
_UNEXPECTED: Final = "the provider failed unexpectedly"
_UNKNOWN: Final = Performed(
    Outcome(OutcomeKind.UNKNOWN, "a worker died, or was too slow, while it called the provider")
)


@dataclass(slots=True)
class Work:
    """A job that a worker has received."""

    received: ReceivedJob
    job: Job
    provider: Provider
    is_taken_over: bool
    """Whether the job was another worker's."""
    is_given_up: bool = False
    """Whether the job is reported without a call, because it ends its workers."""
    is_unreadable: bool = False
    """Whether only the identity of the job can be read."""
    attempts: int = 0
    """How often this worker has performed the job."""
    config: Mapping[str, Any] | None = None
    """The payload for the provider: rendered, or that of an earlier attempt."""
    started_at: float | None = None
    """When this worker began to perform the job; None while it waits."""
    entrance: Entrance | None = None
    """The gate of the current attempt."""
    receiver: Receiver = field(init=False)

    def __post_init__(self) -> None:
        self.receiver = Receiver(self.job.tenant_id, self.job.destination)

    def is_kept(self, now: float) -> bool:
        """Whether no other worker should take the job over: it waits, or has not passed its gate
        within its timeout (X4)."""
        if self.started_at is None:
            return True
        has_passed = self.entrance is not None and self.entrance.token is not None
        return not has_passed and now - self.started_at < self.job.timeout_s


class Performer:
    """Performs jobs. Each job ends with a result, whatever fails."""

    def __init__(
        self,
        gates: GateKeeper,
        reporter: Reporter,
        render: Render,
        payloads: Payloads | None = None,
    ) -> None:
        """Without `payloads`, each attempt renders the templates of its job."""
        self._gates = gates
        self._reporter = reporter
        self._render = render
        self._payloads = payloads
        self._clock = gates.clock
        self._blocks = Blocks()

    async def perform(self, work: Work) -> bool:
        """Perform a job and report it. Returns False if it must be performed again later, because
        its slot is not admitted."""
        started = work.started_at = self._clock.monotonic()
        blocked = self._blocks.outcome(work.receiver, started)
        performed, token = (
            await self._outcome(work) if blocked is None else (Performed(blocked), None)
        )
        if performed is None:
            return False
        if isinstance(performed, Performed):
            duration_s = self._clock.monotonic() - started
            self._gates.observer.performed(work.job.action, performed.outcome.kind, duration_s)
            if blocked is None:
                self._note(work, performed.outcome)
            await self._reporter.report(
                work.job,
                work.received,
                performed,
                token,
                is_keyed=work.provider.is_keyed,
                is_called=blocked is None,
                payload=self._payload_change(work, performed.outcome.kind, token),
                duration_s=duration_s,
            )
        return True

    def _note(self, work: Work, outcome: Outcome) -> None:
        delay_s = rate_limit_delay_s(outcome.delay_s, work.job.attempt)
        self._blocks.note(work.receiver, outcome, delay_s, self._clock.monotonic())

    async def _outcome(self, work: Work) -> tuple["Performed | _Ended | None", bytes | None]:
        """The outcome, and the token that has passed the gate. None: perform it again later."""
        if work.is_unreadable:
            return Performed(Outcome(OutcomeKind.SKIP, "the job cannot be read")), None
        for _ in range(_ATTEMPTS):
            entrance = Entrance(
                work.job,
                self._gates,
                is_taken_over=work.is_taken_over,
                is_keyed=work.provider.is_keyed,
            )
            work.entrance = entrance
            try:
                return await self._call(work, entrance), entrance.token
            except CallTooLate:
                if not await entrance.return_gate():
                    return _UNKNOWN, entrance.token
        return Performed(Outcome(OutcomeKind.RETRY, "the worker is too slow")), None

    async def _call(self, work: Work, entrance: Entrance) -> "Performed | _Ended | None":
        """Call the provider once. Raises CallTooLate, and nothing else but a cancellation."""
        try:
            if work.is_given_up:
                await entrance()
                return _given_up(work)
            if work.config is None:
                work.config = await self._config(work.job)
            performed = await work.provider.perform(work.job, work.config, entrance)
            return performed if isinstance(performed, Performed) else _no_outcome(work, entrance)
        except CallTooLate:
            raise
        except GateRefused as refused:
            self._gates.observer.gate_refused(refused.answer)
            return _refused(refused.answer)
        except ActionFailed as failed:
            return Performed(failed.outcome)
        except Exception as error:
            return _unexpected(work, error, entrance.token)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # the worker ends
            return _unexpected(work, error, entrance.token)

    async def _config(self, job: Job) -> Mapping[str, Any]:
        """The payload of an earlier attempt (X3), or the fields of the job with every text
        rendered. Raises ActionFailed, and GateRefused if Redis is unavailable."""
        try:
            found = None if self._payloads is None else await self._payloads.find(job)
            return self._render(job.config, job.variables) if found is None else found
        except ServiceUnavailable as error:
            raise GateRefused("Redis is unavailable", Passed.NOT_ADMITTED) from error
        except RetryableError as error:
            raise ActionFailed(Outcome(OutcomeKind.RETRY, str(error))) from None
        except GoaldError as error:
            raise ActionFailed(Outcome(OutcomeKind.SKIP, str(error))) from None

    def _payload_change(
        self, work: Work, kind: OutcomeKind, token: bytes | None
    ) -> PayloadChange | None:
        """The change of the payload with a result; None if it cannot be encrypted."""
        if self._payloads is None:
            return None
        try:
            return self._payloads.change(work.job, kind, None if token is None else work.config)
        except EncryptionKeyMissing as error:
            _log.error("The payload of job %s is not kept: %s", work.job.gate, error)
            return None


class _Ended:
    """Another worker has the job, and reports it."""


def _given_up(work: Work) -> Performed:
    text = f"{work.received.deliveries - 1} workers ended or stopped while they had the job"
    return Performed(Outcome(OutcomeKind.UNKNOWN, text))


def _no_outcome(work: Work, entrance: Entrance) -> Performed:
    return _unexpected(work, TypeError("the provider returned no outcome"), entrance.token)


def _unexpected(work: Work, error: BaseException, token: bytes | None) -> Performed:
    """Nothing was called if the gate was not passed; else the outcome is unknown."""
    # The message of the error may contain personal data or a secret.
    name = type(error).__name__
    _log.error("Provider of %s failed with %s; job %s", work.job.action, name, work.job.gate)
    kind = OutcomeKind.RETRY if token is None else OutcomeKind.UNKNOWN
    return Performed(Outcome(kind, _UNEXPECTED))


def _refused(answer: Passed) -> "Performed | _Ended | None":
    if answer is Passed.REFUSED_PASSED:
        return _Ended()
    if answer is Passed.NOT_ADMITTED:
        return None
    if answer in {Passed.TAKEN_OVER, Passed.TAKEN_OVER_CLOSED}:
        return _UNKNOWN
    if answer is Passed.REFUSED_INACTIVE:
        return Performed(Outcome(OutcomeKind.REFUSED_INACTIVE))
    return Performed(Outcome(OutcomeKind.REFUSED))
