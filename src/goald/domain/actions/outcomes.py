"""Outcomes of actions, and the events that report them (X5, X13)."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from goald.domain.actions.job import SOURCE, Job
from goald.domain.actions.masks import mask_config, mask_text, texts_of
from goald.domain.derived_ids import derived_id
from goald.domain.times import rfc3339

RESULT_TYPE: Final = "workflow.action.finished"
"""The CloudEvents type of a result. It is reserved: only workers send it."""
RATE_LIMIT_S: Final = 60.0
"""The delay after a 429 without `Retry-After`."""
MAX_DELAY_S: Final = 86_400.0
MAX_RATE_LIMITS: Final = 10_000
"""A rate limit of a later attempt counts as a retry, so that it ends: attempts are numbered up to
65,535."""
MAX_ERROR_CHARS: Final = 500
_FREE_ATTEMPTS: Final = 5
_MAX_LEAST_DELAY_S: Final = 900.0
_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


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
    """Of a rate limit: how long the provider accepts no calls; None for RATE_LIMIT_S."""


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


def mask_error(error: str, job: Job) -> str:
    """The message of a provider, without addresses and without the texts of the contact and its
    events: receivers repeat what they were sent."""
    given = [value for name, value in job.variables.items() if name != "workflow"]
    return mask_text(error[: 4 * MAX_ERROR_CHARS], texts_of(given))[:MAX_ERROR_CHARS]


def rate_limit_delay_s(delay_s: float | None, attempt: int) -> float:
    """How long a provider is not called after a rate limit. At least a second, and longer after
    many attempts: a provider that always answers `Retry-After: 0` would be called in a loop."""
    if delay_s is None or math.isnan(delay_s):
        delay_s = RATE_LIMIT_S
    doublings = min(max(0, attempt - _FREE_ATTEMPTS), 20)
    return min(max(delay_s, min(2.0**doublings, _MAX_LEAST_DELAY_S)), MAX_DELAY_S)


def result_event(
    job: Job,
    outcome: Outcome,
    token: bytes | None,
    *,
    is_keyed: bool,
    is_called: bool = True,
    duration_ms: int,
    at_us: int,
) -> bytes:
    """The event that reports an outcome, in JSON. The same attempt has the same event id, so a
    repeated report changes nothing (D1). `token`: that which passed the gate. `is_keyed`: whether
    the provider honours idempotency keys. `is_called`: False if the outcome is that of another job
    with the same destination: an administrator is notified of that one only. The event has no
    personal data, because it is logged (X15)."""
    if outcome.kind is OutcomeKind.RATE_LIMIT and job.attempt > MAX_RATE_LIMITS:
        outcome = Outcome(OutcomeKind.RETRY, outcome.error)
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
        "destination": job.destination,
        "action_config": mask_config(job.config),
        "outcome": outcome.kind,
        "is_keyed": is_keyed,
        "is_called": is_called,
        "duration_ms": duration_ms,
        "error": mask_error(outcome.error, job) if outcome.error else None,
    }
    if outcome.kind is OutcomeKind.RATE_LIMIT:
        data["delay_ms"] = round(rate_limit_delay_s(outcome.delay_s, job.attempt) * 1_000)
    attempt = derived_id(job.tenant_id, str(job.gate), outcome.kind, data["token"] or "")
    return encode_event(job, str(attempt), RESULT_TYPE, data, at_us)


def encode_event(
    job: Job, event_id: str, event_type: str, data: Mapping[str, Any], at_us: int, **more: Any
) -> bytes:
    """An event of the job's contact in JSON. `more`: further attributes of the envelope. A lone
    surrogate, which no text in UTF-8 can have, becomes a question mark."""
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
    return _ENCODE(event).encode("utf-8", "replace")
