"""The gates of jobs, for the holder of slots (X2).

A gate is open, passed, closed or finished, or unknown. Registering a job opens its gate. Closing an
unknown gate stores it as closed, so that the job cannot be registered any more. A passed gate that
the holder closes stays passed, but is never passed or taken over again. A gate that is closed or
finished stays so for at least an hour; an unknown gate never passes.

No gate of a slot passes unless the slot's holder has admitted the slot under this run of Redis
(D10). Redis may have been replaced by an older copy, in which a closed gate is open: so after a
change of the run the holder begins a new series, compares its outstanding jobs with their rows, and
admits the slots. No gate of an earlier series ever passes then.

Calls that change gates are refused with LeaseLost if Redis has seen a later epoch of one of the
slots, and with ServerReplaced if it lacks the epoch of the lease or is another run than the one
admitted. Nothing is changed then. Every coroutine may raise `ServiceUnavailable` if the server is
unreachable or refuses to write (D6); what was asked for may have happened, and is asked again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple, Protocol

from goald.domain.actions.gates import ActionType, GateId, GateSeries
from goald.domain.ids import ContactId, TenantId, WorkflowId
from goald.domain.leases import SlotLease


@dataclass(frozen=True, slots=True)
class JobEntry:
    """A job to be published."""

    gate: GateId
    action: ActionType
    payload: str
    """JSON text."""
    expires_at_ms: int | None = None
    """When the gate expires, by the clock of Redis; None for never."""
    replaces: GateId | None = None
    """The gate of an earlier attempt that this one is granted again for."""


class Registration(Enum):
    """The answer to registering a job."""

    REGISTERED = auto()
    """The job is in its stream, and its gate is open."""
    EXISTS = auto()
    """The gate exists, so nothing was done: the job was registered before, or closed before."""
    REPLACED_IS_LIVE = auto()
    """The gate of the earlier attempt is not closed: it is open, passed or finished. Nothing was
    done."""


class GateStatus(Enum):
    """The state of a gate."""

    OPEN = auto()
    PASSED = auto()
    CLOSED = auto()
    FINISHED = auto()
    UNKNOWN = auto()


class GateState(NamedTuple):
    """The state of a gate, and for a passed one since when."""

    status: GateStatus
    passed_ms: int = 0
    """How long ago the gate was passed, in milliseconds. 0 unless it is PASSED."""


class GateRun(NamedTuple):
    """The run of Redis that a holder found."""

    run_id: str
    """Empty if the server does not say."""
    is_continuous: bool
    """Whether all slots of the lease were admitted under this run. If not, gates may be lost. Those
    of other series pass no more, and each job that is outstanding counts as passed with an unknown
    outcome (X4)."""
    floors: Sequence[GateSeries] = ()
    """The first series whose gates may pass, for each slot of the lease. A job with an earlier gate
    was outstanding when gates were lost."""


class Gates(Protocol):
    """Registers and closes the gates of a range of slots, under one lease."""

    async def fence(self, lease: SlotLease, series: GateSeries) -> GateRun:
        """Take the slots of the lease over, or fence them again after ServerReplaced. Earlier
        holders are refused from now on (D3).

        `series`: a new one, for all gates that the holder will register; after ServiceUnavailable,
        call again with the same. If the run is continuous,
        gates of earlier series may be passed all the time. If not, no gate of the slots passes
        before `admit`. Raises LeaseLost if Redis has seen a later epoch, or the same epoch of
        another holder.
        """

    async def admit(self, lease: SlotLease, run: GateRun) -> bool:
        """Let the gates of the slots be passed. Call it when what the comparison has changed is
        committed under the lease, and at least after the lease was verified since `fence`: Redis
        without its data cannot recognise a holder that lost its lease. Returns False, with nothing
        changed, if Redis is no longer the run, or lost its data: fence and compare again."""

    async def register(self, lease: SlotLease, jobs: Sequence[JobEntry]) -> list[Registration]:
        """Add each job to the stream of its type and open its gate, if no gate exists. Atomic for
        the whole call, but for a server that ends in between. Returns one answer per job."""

    async def close_gates(self, lease: SlotLease, gates: Sequence[GateId]) -> list[GateState]:
        """Close gates. Returns the state of each before the call.

        OPEN or CLOSED: it is closed, and its job is in no stream. UNKNOWN: it is closed, and its
        job will never be registered. PASSED: a worker is calling the provider, or was; no other
        call will begin. FINISHED: the result is in the contact's event stream. When the call
        returns, no gate among them will be passed.
        """

    async def states(self, gates: Sequence[GateId]) -> list[GateState]:
        """The state of gates. Changes nothing, and needs no lease."""

    async def set_active(
        self, workflows: Sequence[tuple[TenantId, WorkflowId]], *, is_active: bool
    ) -> None:
        """Refuse the gates of workflows that are not active, or no longer (X11). The gates stay
        open. After a loss of data, set the flags again before `admit`."""

    async def erase_payloads(self, contacts: Sequence[tuple[TenantId, ContactId]]) -> None:
        """Erase the rendered payloads of contacts that are deleted. Their gates are closed before,
        or a result may store one again."""

    async def close(self) -> None:
        """Close the connection."""
