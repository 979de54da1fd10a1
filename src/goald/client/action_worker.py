"""Performs actions of workflows with an application's own senders."""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from uuid import uuid4

from goald.domain.actions.gates import ActionType
from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import SUCCESS, Outcome, OutcomeKind
from goald.domain.ids import ContactId, EnrollmentId, TenantId, WorkflowId
from goald.redis_jobs.queue import RedisJobQueue
from goald.workers.backlog import ReceiverLimits
from goald.workers.provider import ActionFailed, Enter, Performed
from goald.workers.worker import Worker, WorkerSettings


@dataclass(frozen=True, slots=True)
class Action:
    """An action to perform."""

    type: str
    tenant_id: TenantId
    contact_id: ContactId
    workflow_id: WorkflowId
    execution_id: EnrollmentId
    step_id: str
    attempt: int
    key: str
    """The idempotency key, the same in all attempts. A sender that passes it to a provider that
    honours it sends nothing twice."""
    config: Mapping[str, Any]
    """The fields of the action under `with`, with every template rendered."""
    contact: Mapping[str, Any]
    """The contact, as templates see it."""
    connection: str | None


_OF_HANDLERS: Final = (
    OutcomeKind.RETRY,
    OutcomeKind.SKIP,
    OutcomeKind.PAUSE,
    OutcomeKind.RATE_LIMIT,
    OutcomeKind.UNKNOWN,
)


class ActionError(Exception):
    """Raise it in a handler to say how an action failed. The message is logged: it must contain no
    personal data and no secret."""

    def __init__(self, message: str, outcome: OutcomeKind, delay_s: float | None = None) -> None:
        """`outcome`: RETRY, SKIP, PAUSE, RATE_LIMIT or UNKNOWN. `delay_s`: how long the provider
        accepts no calls, for RATE_LIMIT: from 1 s, more after many attempts, to a day. Raises
        ValueError for another outcome."""
        super().__init__(message)
        if outcome not in _OF_HANDLERS:
            raise ValueError(f"the outcome of a failed action is one of {', '.join(_OF_HANDLERS)}")
        self.outcome = outcome
        self.delay_s = delay_s


Handler = Callable[[Action], Awaitable[None]]


class ActionWorker:
    """Calls a handler for each action of some types.

    goald publishes jobs; any number of workers share them. A handler is called at most 250 ms after
    its gate was passed, and never after goald has committed the exit of the contact. So a handler
    sends without delay. Open connections before `run`.

    A handler that returns has performed the action. It raises ActionError to say how it failed; any
    other error is an unknown outcome. If a worker dies during a call, another one calls the handler
    again after the job's timeout if `honours_keys` is set; else the outcome is unknown.

        async def send(action: Action) -> None:
            await gateway.send(action.config["text"], idempotency_key=action.key)

        async with ActionWorker("redis://localhost", {"acme.send_fax": send}) as worker:
            await worker.run()
    """

    def __init__(
        self,
        redis: str,
        handlers: Mapping[str, Handler],
        *,
        honours_keys: bool = False,
        concurrency: int = 100,
        idle_s: float = 60.0,
        limits: ReceiverLimits | None = None,
    ) -> None:
        """Does not connect.

        `redis`: a URL. `handlers`: by types of actions. `honours_keys`: whether a handler that is
        called twice with the same key has one effect. `concurrency`: the number of calls in
        flight. `idle_s`: after which time jobs of another worker are taken over; set it above the
        longest time that a call takes. Of the calls in flight, at most half are for one connection
        of a tenant, and at most two thirds for one tenant. `limits`: how many calls each connection
        of a tenant accepts from this process, at the same time and in a second. Raises ImportError
        without python-liquid.
        """
        try:
            from goald.workers.rendering import render
        except ImportError as error:
            raise ImportError(
                "ActionWorker needs python-liquid: pip install 'goald[actions]'"
            ) from error
        clock = _SystemClock()
        consumer = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex}"
        self._queue = RedisJobQueue(redis, consumer, clock)
        providers = {
            ActionType(name): _HandlerProvider(handler, honours_keys)
            for name, handler in handlers.items()
        }
        settings = WorkerSettings(
            concurrency=concurrency, idle_s=idle_s, limits=limits or ReceiverLimits()
        )
        self._worker = Worker(self._queue, providers, render, clock, settings)

    async def run(self) -> None:
        """Perform actions until `stop`. Waits while Redis is unreachable."""
        await self._worker.run()

    def stop(self) -> None:
        """Receive no more jobs. `run` returns when the calls in flight have ended, after 20 s at
        the latest."""
        self._worker.stop()

    async def aclose(self) -> None:
        """Disconnect."""
        await self._queue.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


class _HandlerProvider:
    """A `Provider` that calls a handler."""

    def __init__(self, handler: Handler, honours_keys: bool) -> None:
        self._handler = handler
        self._honours_keys = honours_keys

    @property
    def is_keyed(self) -> bool:
        return self._honours_keys

    async def perform(self, job: Job, config: Mapping[str, Any], enter: Enter) -> Performed:
        contact = job.variables.get("contact") or {}
        action = Action(
            job.action, job.tenant_id, job.contact_id, job.workflow_id, job.execution_id,
            job.step_id, job.attempt, job.key, config, contact, job.connection_name,
        )  # fmt: skip
        await enter()
        try:
            await self._handler(action)
        except ActionError as error:
            outcome = Outcome(error.outcome, str(error), error.delay_s)
            raise ActionFailed(outcome) from error
        return Performed(SUCCESS)

    async def close(self) -> None:
        """There is nothing to close."""


class _SystemClock:
    """The clock of this process."""

    def now_us(self) -> int:
        return time.time_ns() // 1_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))
