"""The events of a worker, for metrics."""

from typing import Protocol

from goald.domain.actions.gates import ActionType
from goald.domain.actions.outcomes import OutcomeKind
from goald.ports.actions.jobs import Passed


class WorkerObserver(Protocol):
    """Receives each event of a worker. Does not block and raises nothing."""

    def performed(self, action: ActionType, kind: OutcomeKind, duration_s: float) -> None:
        """A job has an outcome, with or without a call, which is reported next."""

    def gate_refused(self, answer: Passed) -> None:
        """A gate did not let the worker call the provider."""

    def gate_returned(self) -> None:
        """The worker was too slow to begin the call after it had passed the gate."""

    def taken_over(self, action: ActionType) -> None:
        """The worker has a job that another worker did not finish."""


class Unobserved:
    """A `WorkerObserver` that does nothing."""

    def performed(self, action: ActionType, kind: OutcomeKind, duration_s: float) -> None: ...
    def gate_refused(self, answer: Passed) -> None: ...
    def gate_returned(self) -> None: ...
    def taken_over(self, action: ActionType) -> None: ...
