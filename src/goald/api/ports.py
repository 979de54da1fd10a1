"""What the API asks of the world. `runtime.wiring` says what stands behind it.

Each call may raise ServiceUnavailable, which is answered with 503. Whatever takes a tenant
shows and changes that tenant's rows alone, whatever else it is given (D8). Times are
microseconds since the epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from goald.domain.achievement import Achievement
from goald.domain.audit.record import AuditRecord
from goald.domain.enrollment import Enrollment
from goald.domain.idempotency import IdempotencyState, StoredResponse
from goald.domain.listeners import ListenerStatus
from goald.domain.pages import Page, PageRequest
from goald.domain.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as the token or the webhook's signature says."""

    tenant_id: str
    subject: str
    scopes: frozenset[str]


class TokenVerifier(Protocol):
    async def verify(self, token: str) -> Caller:
        """Who the bearer of a token is. Raises `problems.Unauthorized`."""


class WebhookSecrets(Protocol):
    """The secrets that providers sign with, one for a tenant and provider."""

    async def get(self, tenant: str, provider: str) -> bytes | None: ...
    async def put(self, tenant: str, provider: str, secret: bytes, actor: str) -> bool:
        """Whether there was none before."""

    async def delete(self, tenant: str, provider: str, actor: str) -> bool:
        """Whether there was one."""

    async def list(self, tenant: str) -> Sequence[tuple[str, int]]:
        """(provider, when it was made), by provider."""


class Quotas(Protocol):
    """How much a tenant may ask for in a second."""

    async def requests(self, tenant: str) -> None:
        """Count a request. Raises QuotaExceeded; where it cannot be counted it is let pass."""

    async def events(self, tenant: str, count: int) -> None:
        """Count events, at most a second's worth of them at once, one of more than 1 KiB as
        several (`publishing.units`). Raises as `requests` does; nothing is counted then."""


class StatisticsReader(Protocol):
    async def read(
        self, tenant: str, workflow_id: str, first: date | None, last: date | None
    ) -> Statistics | None:
        """Of the enrollments that began from `first` to `last`, days in UTC, both included;
        None leaves that end open. None for a workflow that is not configured and never had an
        enrollment (E5)."""


class Records(Protocol):
    """Single enrollments and achievements, newest first, in pages."""

    async def enrollments(
        self, tenant: str, workflow_id: str, filters: Mapping[str, Any], span: PageRequest
    ) -> Page[Enrollment]:
        """`filters`: `status`, `contact_id`."""

    async def achievements(
        self, tenant: str, workflow_id: str, filters: Mapping[str, Any], span: PageRequest
    ) -> Page[Achievement]:
        """`filters`: `contact_id`, `goal_type`, `goal_id`, `enrollment_id`. A page may be short,
        even empty, where more follow."""

    async def is_known(self, tenant: str, workflow_id: str) -> bool:
        """Whether there is such a workflow, or was ever an enrollment in it (E5)."""

    async def listening(self, tenant: str, workflow_id: str) -> ListenerStatus:
        """Which goals listen for how many enrollments, and how many live shards have the
        workflow's version. Nothing, for one that is not known."""


class AuditTrail(Protocol):
    async def page(
        self, tenant: str, filters: Mapping[str, Any], span: PageRequest
    ) -> Page[AuditRecord]:
        """Newest first. `filters`: `action`, `actor`, `workflow_id`, `subject_id`."""


class EventSink(Protocol):
    """The event streams: `goald.client.Publisher`."""

    async def publish_encoded(self, tenant: str, contact: str, payload: bytes) -> None: ...
    async def flush(self, *, patience_s: float | None = None) -> None:
        """Return when Redis has taken everything that was published before."""


class Explainer(Protocol):
    async def explain(self, tenant: str, event: bytes) -> dict[str, Any]:
        """The dry run of one event in a tenant (3.4). Raises InvalidEvent, with the reason, for
        one that goald would refuse."""


class Contacts(Protocol):
    async def enrollment(self, tenant: str, enrollment_id: str) -> Enrollment | None:
        """One enrollment of a tenant, in whatever workflow."""


class Idempotency(Protocol):
    """What requests with an `Idempotency-Key` were answered, for a day."""

    async def begin(
        self, tenant: str, key: str, request: bytes
    ) -> StoredResponse | IdempotencyState:
        """Begin a request, known by a digest of it: the answer that it got before, or how it
        stands. One of two callers at once gets STARTED; after a minute without an end, the
        next one is."""

    async def end(
        self, tenant: str, key: str, request: bytes, answer: StoredResponse | None
    ) -> None:
        """Keep the answer; None forgets that it was begun, so that it may be tried again."""


class Health(Protocol):
    async def troubles(self) -> list[str]:
        """Why requests cannot be served, a phrase each; empty where they can."""
