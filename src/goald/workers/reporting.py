"""Reports the results of jobs: every job that a worker has processed ends with one (X2)."""

import logging
from dataclasses import replace
from typing import Final

from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import Outcome, OutcomeKind, result_event
from goald.domain.errors import ServiceUnavailable
from goald.ports.actions.jobs import Finished, JobQueue, JobResult, PayloadChange, ReceivedJob
from goald.ports.clock import Clock
from goald.workers.batcher import Batcher
from goald.workers.provider import Performed

_log = logging.getLogger(__name__)
_PAUSE_S: Final = 0.5


class Reporter:
    """Reports results, many in one call. Bound to one event loop."""

    def __init__(self, queue: JobQueue, clock: Clock) -> None:
        self._clock = clock
        self._finish = Batcher(queue.finish)

    async def report(
        self,
        job: Job,
        received: ReceivedJob,
        performed: Performed,
        token: bytes | None,
        *,
        is_keyed: bool,
        duration_s: float,
        is_called: bool = True,
        payload: PayloadChange | None = None,
    ) -> None:
        """Publish a result and finish the job, again and again while Redis is unavailable. `token`:
        that which passed the gate. `is_called`: as in `result_event`. A result that cannot be
        published is replaced by an unknown outcome. Raises what that raises."""
        try:
            await self._publish(
                job, received, performed, token, is_keyed, duration_s, is_called, payload
            )
        except ServiceUnavailable:
            raise
        except Exception as error:
            _log.error("The result of job %s is invalid: %s", job.gate, type(error).__name__)
            unknown = Performed(Outcome(OutcomeKind.UNKNOWN, "the result cannot be reported"))
            await self._publish(
                replace(job, config={}), received, unknown, token, is_keyed, duration_s, is_called
            )

    async def _publish(
        self,
        job: Job,
        received: ReceivedJob,
        performed: Performed,
        token: bytes | None,
        is_keyed: bool,
        duration_s: float,
        is_called: bool,
        payload: PayloadChange | None = None,
    ) -> None:
        event = result_event(
            job,
            performed.outcome,
            token,
            is_keyed=is_keyed,
            is_called=is_called,
            duration_ms=round(duration_s * 1_000),
            at_us=self._clock.now_us(),
        )
        result = JobResult(
            job.gate, job.slot, token, received.action, received.entry_id, event,
            performed.effect, payload,
        )  # fmt: skip
        while True:
            try:
                answer = await self._finish(result)
            except ServiceUnavailable as error:
                _log.warning("Cannot report job %s, retrying: %s", job.gate, error)
                await self._clock.sleep(_PAUSE_S)
                continue
            if answer is Finished.REFUSED:
                _log.warning("The result of job %s is late: another worker has it", job.gate)
            return
