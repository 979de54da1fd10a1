"""Why an execution waits, in words."""

from collections.abc import Mapping
from typing import Final

from goald.domain.records.execution import Execution
from goald.domain.times import rfc3339

_REASONS: Final[Mapping[str, str]] = {
    "limit": "The account runs as many executions at a time as it may.",
    "release": "Its next step is due and is about to start.",
    "timer": "Its step waits until {due}.",
    "event": "Its step waits for an event.",
    "event until": "Its step waits for an event, until {due} at most.",
    "retry": "Its action failed and is repeated at {due}.",
    "rate_limit": "{provider} accepts no calls until {due} (rate limit).",
    "connection": "{provider} is paused until {due}, because the provider refused its credentials.",
    "inactive": "The workflow was not active when its step became due.",
}


def waiting_reason(row: Execution, *, is_active: bool) -> str | None:
    """Return why the execution does not proceed; None if it does, or has ended. `is_active`:
    whether its workflow is."""
    if row.status == "FAILED":
        return "Its step has failed. Retry or cancel the execution."
    if row.has_ended or row.waiting_for is None:
        return None
    if not is_active:
        return "The workflow is not active: timers do not fire, and no step starts."
    name = row.waiting_for
    if name == "event" and row.due_at is not None:
        name = "event until"
    due = "it is released" if row.due_at is None else rfc3339(row.due_at)
    provider = "The provider" if row.connection is None else f"The connection {row.connection}"
    return _REASONS.get(name, f"It waits for {name}.").format(due=due, provider=provider)
