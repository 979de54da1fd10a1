"""The contract of providers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import Outcome, OutcomeKind
from goald.domain.errors import GoaldError


@dataclass(frozen=True, slots=True)
class Performed:
    """The outcome of a call."""

    outcome: Outcome
    effect: bytes = b""
    """An event that takes effect together with the result, on the contact's event stream; for
    actions that change the contact."""


class ActionFailed(GoaldError):
    """An action failed; `outcome` says how."""

    def __init__(self, outcome: Outcome | str) -> None:
        if isinstance(outcome, str):
            outcome = Outcome(OutcomeKind.SKIP, outcome)
        super().__init__(outcome.error or outcome.kind)
        self.outcome = outcome


class CallTooLate(GoaldError):
    """The gate was passed too long ago: the call must not begin."""


class Enter(Protocol):
    """The gate of a job, for its provider."""

    async def __call__(self) -> None:
        """Pass the gate. Raises if the provider must not be called."""

    def check(self) -> None:
        """Raises CallTooLate if the call must not begin any more. A provider whose first byte is
        written by another task or thread calls it there, right before the write. Does not block,
        and may be called in any thread."""


class Provider(Protocol):
    """Performs a kind of action."""

    @property
    def is_keyed(self) -> bool:
        """Whether the provider honours idempotency keys: a call that is repeated with the same key
        has one effect. Such calls are repeated if their outcome is unknown (X4)."""

    async def perform(self, job: Job, config: Mapping[str, Any], enter: Enter) -> Performed:
        """Perform the action. `config`: the job's, rendered.

        The provider obtains everything that it needs, such as a connection, awaits `enter` once,
        and then begins the call without waiting for anything; if it cannot exclude that, it also
        calls `enter.check` at the write. It raises what these raise, and ActionFailed if it fails;
        if it fails before `enter`, nothing was called. Any other error counts as an unknown
        outcome. After CallTooLate, nothing was called and `perform` is called again.
        """

    async def close(self) -> None:
        """Close connections."""
