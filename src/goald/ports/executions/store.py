"""The durable executions of a range of slots.

`ShardStore.commit` writes them, in the transaction of their enrollments. Every coroutine may raise
`LeaseLost`, and `ServiceUnavailable` if the server is unreachable (D6).
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, Protocol

from goald.domain.contacts.merging import ContactKey
from goald.domain.ids import ContactId, TenantId
from goald.domain.leases import SlotLease
from goald.ports.configuration import WorkflowKey


class StoredPlan(NamedTuple):
    """The plan of a published version."""

    tenant_id: str
    workflow_id: str
    version: int
    plan: bytes
    """As `domain.definitions.encoder` encodes it."""
    is_current: bool
    """Executions start with it."""


class ExecutionKey(NamedTuple):
    tenant_id: str
    execution_id: str


class EntryCheck(NamedTuple):
    """An execution that an event or a request would start."""

    tenant_id: str
    contact_id: str
    workflow_id: str
    execution_id: str


class EntryFacts(NamedTuple):
    """The stored facts about a start."""

    exists: bool
    """The execution exists, open or ended."""
    last_started_ms: int | None
    """The last start of the contact in the workflow. None: there was none."""


class WaitCheck(NamedTuple):
    """An event, by its key, that would end a wait of an execution."""

    tenant_id: str
    execution_id: str
    event: str


class OutstandingJob(NamedTuple):
    """The attempt of an execution that is out."""

    tenant_id: str
    execution_id: str
    contact_id: str
    step_id: str
    visit: int
    attempt: int
    action: str | None
    connection: str | None
    gate: str
    age_ms: int
    """Since the commit that wrote the gate. A finished gate is known for an hour only."""


class ExecutionStart(NamedTuple):
    """The start of an execution, for templates."""

    tenant_id: str
    execution_id: str
    started_at_us: int
    variables: str | None
    """See `TransitionColumns.variables`."""


class ExecutionStore(Protocol):
    """Reads the executions of a range of slots under its lease."""

    async def load(self, lease: SlotLease, sink: Callable[[bytes], object]) -> None:
        """Pass all open executions of the slots (FAILED ones included) to `sink`, in pieces of the
        format that `_native.Matcher.load_executions` takes. Reads one snapshot."""

    async def load_contacts(
        self,
        lease: SlotLease,
        contacts: Sequence[tuple[TenantId, ContactId]],
        sink: Callable[[bytes], object],
    ) -> None:
        """As `load`, for the open executions of these contacts."""

    async def plans(
        self, lease: SlotLease, workflows: Sequence[WorkflowKey] | None = None
    ) -> Sequence[StoredPlan]:
        """Return the current plans of these workflows. None: of all workflows, and every plan that
        an open execution of the slots uses, also of a deleted workflow."""

    async def pinned_plans(self, lease: SlotLease, contact: ContactKey) -> Sequence[StoredPlan]:
        """Return the plans that the open executions of a contact use, and the current plans of
        their workflows."""

    async def starts(self, lease: SlotLease, checks: Sequence[EntryCheck]) -> Sequence[EntryFacts]:
        """Return what is stored about each of these starts, in order. Starts of a deleted contact
        do not count."""

    async def used(self, lease: SlotLease, checks: Sequence[WaitCheck]) -> Collection[WaitCheck]:
        """Return those of the checks whose event has ended a wait of the execution before."""

    async def jobs(
        self, lease: SlotLease, executions: Sequence[ExecutionKey]
    ) -> Sequence[OutstandingJob]:
        """Return the jobs of these executions that are out; none of an execution without one."""

    async def begun(
        self, lease: SlotLease, executions: Sequence[ExecutionKey]
    ) -> Sequence[ExecutionStart]:
        """Return the starts of these executions; none of one in other slots."""
