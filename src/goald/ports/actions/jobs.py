"""The jobs of actions, for a worker (X2, X4).

A worker receives a job, obtains everything that the call needs, passes the gate, calls the
provider, and finishes the job with its result. Every coroutine may raise `ServiceUnavailable` if
the server is unreachable or refuses to write (D6), but may have executed the call. A caller that
does not know whether it has passed a gate returns it.
"""

from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple, Protocol

from goald.domain.actions.gates import ActionType, GateId
from goald.domain.ids import ContactId, TenantId, WorkflowId


class ReceivedJob(NamedTuple):
    """A job, as read from the stream of its type."""

    action: ActionType
    entry_id: bytes
    payload: bytes
    """JSON text; empty if the entry has none."""
    gate: GateId | None = None
    """As the entry names it; None if the entry is not from a holder of slots."""
    deliveries: int = 1
    """How often a worker has received the job, this time included."""


class PassRequest(NamedTuple):
    """Asks for one gate."""

    gate: GateId
    slot: int
    tenant_id: TenantId
    workflow_id: WorkflowId
    token: bytes
    """16 random bytes that identify this call of the provider (X13). A token is used once."""
    take_over_after_ms: int | None = None
    """Take a gate over that another worker passed at least this long ago; None for never."""


class Passed(Enum):
    """The answer to a request for a gate."""

    PASSED = auto()
    """The caller has the gate."""
    TAKEN_OVER = auto()
    """The caller has the gate, that another worker passed before: whether it has called the
    provider is unknown."""
    TAKEN_OVER_CLOSED = auto()
    """As TAKEN_OVER, but the execution has ended: the caller must not call the provider."""
    REFUSED_PASSED = auto()
    """Another worker has the gate."""
    REFUSED_CLOSED = auto()
    """The execution has ended, or the token was returned before."""
    REFUSED_FINISHED = auto()
    REFUSED_EXPIRED = auto()
    REFUSED_UNKNOWN = auto()
    """No such gate: its data was lost, or it was closed long ago."""
    REFUSED_INACTIVE = auto()
    """The workflow is not active (X11)."""
    NOT_ADMITTED = auto()
    """Redis was replaced or lost data, and the slots' holder has not compared its jobs yet. Ask
    again later."""


class PayloadChange(NamedTuple):
    """A change of the rendered payload of an action, made together with its result (X3)."""

    tenant_id: TenantId
    contact_id: ContactId
    key: str
    """The idempotency key of the action."""
    data: bytes
    """Encrypted, for the next attempts; kept for 31 days, and not replaced if there is one. Empty
    to erase it."""


class JobResult(NamedTuple):
    """The result of a job, with the job's stream entry."""

    gate: GateId
    slot: int
    """The contact's slot; it decides the event stream of the result."""
    token: bytes | None
    """The token that passed the gate; None to report a job whose gate was not passed."""
    action: ActionType
    entry_id: bytes
    event: bytes
    """The event `workflow.action.finished`, encoded."""
    effect: bytes = b""
    """An event that precedes it on the contact's event stream: the change that the action makes."""
    payload: PayloadChange | None = None


class Finished(Enum):
    """The answer to a result."""

    FINISHED = auto()
    """The result is published, the gate finished or closed, and the job acknowledged."""
    REPEATED = auto()
    """The job was finished before; its entry is acknowledged."""
    REFUSED = auto()
    """Another call of the provider has the gate, so this result is late. Nothing was changed."""


class JobQueue(Protocol):
    """A worker's view of the streams of jobs. Bound to one event loop; calls may run
    concurrently."""

    async def receive(
        self, actions: Sequence[ActionType], count: int, wait_seconds: float
    ) -> list[ReceivedJob]:
        """Up to `count` new jobs of each type. Returns empty if there are none for
        `wait_seconds`. A received job is this worker's until it is finished or claimed."""

    async def take_idle(
        self, action: ActionType, idle_seconds: float, count: int
    ) -> list[ReceivedJob]:
        """Up to `count` jobs of the type that their worker has held for at least this long without
        finishing them: it may have died. They are this worker's now."""

    async def pass_gates(self, requests: Sequence[PassRequest]) -> list[Passed]:
        """Pass gates. One answer per request, in one atomic step."""

    async def return_gates(self, passed: Sequence[tuple[GateId, bytes]]) -> None:
        """Return gates without having called the provider, by gate and token. A gate is open
        again, or closed if the execution ended meanwhile. The token can never pass it again, even
        if its request arrives later. Does nothing for other tokens."""

    async def finish(self, results: Sequence[JobResult]) -> list[Finished]:
        """Publish each result to the contact's event stream, finish its gate and acknowledge the
        job, in one step. A result without a token closes an open gate, and is refused if the gate
        is passed. Waits while the number of event streams is being changed."""

    async def payload(self, tenant_id: TenantId, contact_id: ContactId, key: str) -> bytes:
        """The payload of an earlier attempt of an action; empty if there is none."""

    async def renew(self, action: ActionType, entry_ids: Sequence[bytes]) -> None:
        """Keep jobs that wait in this worker: other workers do not take them over, and it does not
        count as a delivery. Ignores entries that do not exist."""

    async def discard(self, received: ReceivedJob) -> None:
        """Close the gate of an entry that cannot be read, if it is open, and acknowledge and delete
        the entry. Leaves it if a worker has passed the gate, because that one could read it."""

    async def close(self) -> None:
        """Close the connections. Jobs that are not finished can be claimed."""
