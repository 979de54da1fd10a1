"""Outcomes of actions, and the events that report them (X5, X13)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from goald.domain.actions.job import SOURCE, Job
from goald.domain.actions.masks import mask_config
from goald.domain.derived_ids import derived_id
from goald.domain.times import rfc3339

RESULT_TYPE: Final = "workflow.action.finished"
"""The CloudEvents type of a result. It is reserved: only workers send it."""
RATE_LIMIT_S: Final = 60.0
"""The delay after a 429 without `Retry-After`."""
MAX_ERROR_CHARS: Final = 500


class OutcomeKind(StrEnum):
    """The outcome of an attempt. The values are in the events."""

    SUCCESS = "success"
    RETRY = "retry"
    """An error that a retry may help."""
    SKIP = "skip"
    """An error that a retry cannot help."""
    PAUSE = "pause"
    """The connection cannot be used until its owner changes it: a wrong key, an unpaid account."""
    RATE_LIMIT = "rate_limit"
    UNKNOWN = "unknown"
    """The call may have had its effect (X4)."""
    REFUSED = "refused"
    """The gate refused the worker: it is closed, unknown or expired."""
    REFUSED_INACTIVE = "refused_inactive"
    """The gate refused the worker because the workflow is inactive (X11)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of an attempt."""

    kind: OutcomeKind
    error: str | None = None
    """Masked (X15)."""
    delay_s: float | None = None
    """Of a rate limit: how long the provider accepts no calls."""


SUCCESS: Final = Outcome(OutcomeKind.SUCCESS)


def http_outcome(status: int, retry_after_s: float | None, error: str) -> Outcome:
    """The outcome of an HTTP response. `error`: the message if it is not a success."""
    if 200 <= status < 300:
        return SUCCESS
    if status == 429:
        delay = RATE_LIMIT_S if retry_after_s is None else retry_after_s
        return Outcome(OutcomeKind.RATE_LIMIT, error, delay)
    if status in (408, 425) or status >= 500:
        return Outcome(OutcomeKind.RETRY, error)
    if status in (401, 402, 403):
        return Outcome(OutcomeKind.PAUSE, error)
    return Outcome(OutcomeKind.SKIP, error)


def result_event(
    job: Job, outcome: Outcome, token: bytes | None, *, is_keyed: bool, duration_ms: int, at_us: int
) -> bytes:
    """The event that reports an outcome, in JSON. The same attempt has the same event id, so a
    repeated report changes nothing (D1). `token`: that which passed the gate. `is_keyed`: whether
    the provider honours idempotency keys. The event has no personal data, because it is logged
    (X15)."""
    data: dict[str, Any] = {
        "contact_id": job.contact_id,
        "workflow_id": job.workflow_id,
        "execution_id": job.execution_id,
        "step_id": job.step_id,
        "visit": job.visit,
        "attempt": job.attempt,
        "gate": str(job.gate),
        "token": token.hex() if token is not None else None,
        "action": job.action,
        "action_config": mask_config(job.config),
        "outcome": outcome.kind,
        "is_keyed": is_keyed,
        "duration_ms": duration_ms,
        "error": outcome.error[:MAX_ERROR_CHARS] if outcome.error else None,
    }
    if outcome.delay_s is not None:
        data["delay_ms"] = round(outcome.delay_s * 1_000)
    attempt = derived_id(job.tenant_id, str(job.gate), outcome.kind, data["token"] or "")
    return encode_event(job, str(attempt), RESULT_TYPE, data, at_us)


def encode_event(
    job: Job, event_id: str, event_type: str, data: Mapping[str, Any], at_us: int, **more: Any
) -> bytes:
    """An event of the job's contact in JSON. `more`: further attributes of the envelope."""
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": f"{SOURCE}/actions",
        "type": event_type,
        "time": rfc3339(at_us),
        "tenantid": job.tenant_id,
        **more,
        "data": data,
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
