"""The metrics of the executions of a shard, and why timers do not fire."""

from collections.abc import Sequence, Sized

from goald.pipeline.context import ShardContext
from goald.pipeline.executions.memory import ExecutionMemory
from goald.pipeline.executions.prepared import PreparedExecutions
from goald.pipeline.executions.watermark import Watermark
from goald.ports.actions.gates import GateStatus, Registration


class ExecutionReport:
    """The metrics and the readiness of the executions of one shard."""

    def __init__(
        self,
        context: ShardContext,
        memory: ExecutionMemory,
        watermark: Watermark,
        jobs: Sized,
    ) -> None:
        """`jobs`: those that are out."""
        self._metrics = context.metrics.executions
        self._clock = context.clock
        self._memory = memory
        self._watermark = watermark
        self._jobs = jobs

    def update(self) -> None:
        """Set the gauges. Does nothing if no workflow has a plan."""
        if self._memory.is_empty:
            return
        now_ms, metrics = self._now_ms(), self._metrics
        counts = self._memory.counts(now_ms)
        metrics.set_states(counts["states"])
        metrics.steps_due.set(counts["due"])
        metrics.oldest_step.set(_age(counts["oldest_due_ms"], now_ms))
        metrics.timers_held.set(counts["timers_held"])
        metrics.oldest_timer.set(_age(counts["oldest_timer_ms"], now_ms))
        metrics.jobs_in_flight.set(len(self._jobs))

    def committed(self, prepared: PreparedExecutions, written: bytes) -> None:
        """Count a slice that was committed. `written` has one byte for each transition."""
        reasons = prepared.change.transitions.reason
        for number, gate in prepared.closed.items():
            if written[number]:
                self._metrics.gates_closed.labels(gate.status.name.lower()).inc()
                if reasons[number] is not None and gate.status is GateStatus.PASSED:
                    self._metrics.actions_in_flight.observe(gate.passed_ms / 1_000)
        logs = prepared.change.logs
        for transition, kind in zip(logs.transition, logs.event_type, strict=True):
            if kind == "outcome_unknown" and transition is not None and written[transition]:
                self._metrics.outcomes_unknown.inc()

    def published(self, answers: Sequence[Registration]) -> None:
        """Count jobs, by what their gates answered."""
        for answer in answers:
            self._metrics.jobs_published.labels(answer.name.lower()).inc()

    @property
    def not_ready_reason(self) -> str | None:
        """Why timers that are due do not fire; None if they do, or if there are none."""
        reason = None if self._memory.is_empty else self._watermark.not_ready_reason
        if reason is None or not self._memory.counts(self._now_ms())["timers_held"]:
            return None
        return reason

    def _now_ms(self) -> int:
        return self._clock.now_us() // 1_000


def _age(since_ms: int | None, now_ms: int) -> float:
    return 0.0 if since_ms is None else max(0, now_ms - since_ms) / 1_000
