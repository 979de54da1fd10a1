"""The ports of the API.

Each call may raise ServiceUnavailable, which becomes a 503 response. A call that takes a tenant
reads and changes that tenant's rows only, whatever its other arguments are (D8). Times are in
microseconds since the epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from goald.domain.audit.record import AuditRecord
from goald.domain.contacts.record import ContactRecord
from goald.domain.credentials.webhooks import EventGrant, SigningSecret, WebhookEntry
from goald.domain.idempotency import IdempotencyState, StoredResponse
from goald.domain.ids import ContactId, TenantId
from goald.domain.records.achievement import Achievement
from goald.domain.records.enrollment import Enrollment
from goald.domain.records.execution import (
    Execution,
    ExecutionLog,
    NumberedPage,
    RequestAnswer,
    RunnableWorkflow,
)
from goald.domain.records.listeners import ListenerStatus
from goald.domain.records.pages import Page, PageRequest
from goald.domain.records.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated caller, from the token or the signature of a webhook."""

    tenant_id: str
    subject: str
    scopes: frozenset[str]
    grant: EventGrant | None = None
    """The events that the caller may send; None for a token, which may send all."""


class TokenVerifier(Protocol):
    async def verify(self, token: str) -> Caller:
        """Return the bearer of a token. Raises `problems.Unauthorized`."""


class WebhookSecrets(Protocol):
    """The signing secrets of webhooks: one per tenant and provider."""

    async def get(self, tenant: str, provider: str) -> SigningSecret | None: ...
    async def put(self, tenant: str, provider: str, secret: SigningSecret, actor: str) -> bool:
        """Store a secret with its grant. Return whether there was none before. Raises
        TooManyWebhooks."""

    async def delete(self, tenant: str, provider: str, actor: str) -> bool:
        """Delete a secret. Return whether there was one."""

    async def list(self, tenant: str) -> Sequence[WebhookEntry]:
        """Return the webhooks of a tenant, ordered by provider."""


class Quotas(Protocol):
    """The requests, events and bytes per second of a tenant."""

    async def requests(self, tenant: str) -> None:
        """Count a request. Raises QuotaExceeded. A request that cannot be counted, because Redis
        is unavailable, is allowed."""

    async def work(self, tenant: str, count: int) -> None:
        """Count `count` requests more for the work of a request that is counted already. Raises as
        `requests` does, in which case nothing is counted."""

    async def events(self, tenant: str, count: int) -> None:
        """Count events; large and expensive ones count as several (`publishing.units`). Raises
        as `requests` does, in which case nothing is counted."""

    async def bytes(self, tenant: str, count: int) -> None:
        """Count bytes that will be stored in Redis. Raises as `requests` does, in which case
        nothing is counted."""

    async def events_and_bytes(self, tenant: str, events: int, size: int) -> None:
        """Count as `events` and `bytes` do, in one call. Raises as `requests` does, in which case
        neither is counted."""


class ContactStore(Protocol):
    """The projection of contacts."""

    async def get(self, tenant: str, contact_id: str) -> ContactRecord | None: ...
    async def page(
        self, tenant: str, filters: Mapping[str, str | None], span: PageRequest
    ) -> Page[ContactRecord]:
        """Return contacts, ordered by id. `filters`: `contact_id`; `email`, without regard to
        case; and `phone`, in E.164."""


class StatisticsReader(Protocol):
    async def read(
        self, tenant: str, workflow_id: str, first: date | None, last: date | None
    ) -> Statistics | None:
        """Return the statistics of the enrollments that began from `first` to `last`: days in UTC,
        both included, None for an open end. None for a workflow that is not configured and never
        had an enrollment (E5)."""


class ExecutionRecords(Protocol):
    """The executions of workflows, and the answers of shards to requests about them."""

    async def execution(self, tenant: str, execution_id: str) -> Execution | None: ...

    async def of_workflow(
        self, tenant: str, workflow_id: str, filters: Mapping[str, Any], span: PageRequest
    ) -> Page[Execution]:
        """Return a page of a workflow's executions, newest first, by `created_at`. The filters are
        `status` and `contact_id`, which follows the merges of contacts. With a status that is not
        final, a page may have fewer rows than requested although more pages follow."""

    async def logs(
        self, tenant: str, execution_id: str, skip: int, limit: int
    ) -> tuple[Sequence[ExecutionLog], int]:
        """Return rows of the log of an execution, oldest first, and their total number."""

    async def numbered(
        self,
        tenant: str,
        workflow_id: str,
        filters: Mapping[str, Any],
        span: PageRequest,
        skip: int,
    ) -> NumberedPage:
        """Return the page that follows the first `skip` executions, at most 10,000, of those that
        `of_workflow` lists. The position of `span` is not used."""

    async def ended_in_flight(self, tenant: str, execution_id: str) -> bool:
        """Return whether a worker may have been calling a provider when an execution ended."""

    async def answers(self, tenant: str, requests: Sequence[str]) -> Mapping[str, RequestAnswer]:
        """Return the answers to requests, by the ids of their events, for an hour. Requests that no
        shard has answered are absent."""

    async def workflow(self, tenant: str, workflow_id: str) -> RunnableWorkflow | None: ...


class RecordReader(Protocol):
    """Enrollments and achievements in pages, newest first."""

    async def enrollments(
        self, tenant: str, workflow_id: str, filters: Mapping[str, Any], span: PageRequest
    ) -> Page[Enrollment]:
        """`filters`: `status`, `contact_id`."""

    async def achievements(
        self, tenant: str, workflow_id: str, filters: Mapping[str, Any], span: PageRequest
    ) -> Page[Achievement]:
        """`filters`: `contact_id`, `goal_type`, `goal_id`, `enrollment_id`. A page may be short or
        empty although more pages follow."""

    async def is_known(self, tenant: str, workflow_id: str) -> bool:
        """Return whether the workflow is configured or ever had an enrollment (E5)."""

    async def listening(self, tenant: str, workflow_id: str) -> ListenerStatus:
        """Return the active goals, the number of active enrollments, and how many live shards
        have loaded the workflow's version. Empty for an unknown workflow."""


class AuditReader(Protocol):
    async def page(
        self, tenant: str, filters: Mapping[str, Any], span: PageRequest
    ) -> Page[AuditRecord]:
        """Return entries, newest first. `filters`: `action`, `actor`, `workflow_id`,
        `subject_id`."""


class EventSink(Protocol):
    """The event streams, as `goald.client.Publisher` writes them."""

    async def publish_encoded(self, tenant: str, contact: str, payload: bytes) -> None: ...
    async def flush(self, *, patience_s: float | None = None) -> None:
        """Return when Redis has every event that was published before."""


class Explainer(Protocol):
    async def explain(self, tenant: str, event: bytes) -> dict[str, Any]:
        """Evaluate one event without any effect. Raises InvalidEvent with the reason for an event
        that would be dead-lettered."""


class EnrollmentLookup(Protocol):
    async def enrollment(self, tenant: str, enrollment_id: str) -> Enrollment | None:
        """Return an enrollment of the tenant, in any workflow."""

    async def continuing(self, tenant: TenantId, contact: ContactId) -> ContactId:
        """Return the contact that continues this one: itself, if it was not merged."""


class IdempotencyStore(Protocol):
    """The responses to requests with an `Idempotency-Key`, kept for a day."""

    async def begin(
        self, tenant: str, key: str, request: bytes
    ) -> StoredResponse | IdempotencyState:
        """Reserve a key for a request, which is identified by a digest. Return the stored response
        if there is one, else the state of the key. Of concurrent callers exactly one gets STARTED.
        A reservation that is not ended expires after a minute."""

    async def end(
        self, tenant: str, key: str, request: bytes, response: StoredResponse | None
    ) -> None:
        """Store the response; None releases the key, so that the request can be retried."""


class Health(Protocol):
    async def not_ready_reasons(self) -> list[str]:
        """Return why requests cannot be served, the cause first; an empty list if they can."""
