"""Gates and jobs in memory, shared by holders of slots and workers."""

from dataclasses import dataclass

from goald.adapters.memory.streams import MemoryStreams
from goald.domain.actions.gates import GateId, GateSeries
from goald.domain.errors import ServiceUnavailable
from goald.domain.ids import ContactId, TenantId, WorkflowId
from goald.ports.actions.gates import GateState, GateStatus
from goald.ports.actions.permits import Permit


@dataclass(slots=True)
class LiveGate:
    """A gate that is open or passed."""

    stream: str
    entry_id: bytes
    expires_at_ms: int | None
    passed_at_ms: int | None = None
    is_taken_over: bool = False
    is_closing: bool = False
    """Whether the holder has closed it after it was passed."""
    token: bytes | None = None
    """The token that passed it, or that was returned last."""


class MemoryActions:
    """The gates, and the streams of jobs, as one server has them."""

    def __init__(self, streams: MemoryStreams) -> None:
        self.streams = streams
        self.live: dict[GateId, LiveGate] = {}
        self.ended: dict[GateId, GateStatus] = {}
        self.holders: dict[int, GateSeries] = {}
        """The series of the holder of each slot."""
        self.floors: dict[int, GateSeries] = {}
        """The first series of each slot whose gates may pass."""
        self.admitted: dict[int, str] = {}
        """The run for which the gates of each slot are admitted."""
        self.inactive: set[tuple[TenantId, WorkflowId]] = set()
        self.permits: set[Permit] = set()
        self.payloads: dict[tuple[TenantId, ContactId, str], bytes] = {}
        """By tenant, contact and idempotency key."""
        self.deliveries: dict[tuple[str, bytes], tuple[int, int]] = {}
        """When each entry that is not finished was delivered last, in milliseconds, and how
        often."""

    def flush(self) -> None:
        """Lose all data."""
        for each in (self.live, self.ended, self.holders, self.floors, self.admitted):
            each.clear()
        self.deliveries.clear()
        self.permits.clear()
        self.payloads.clear()
        self.inactive.clear()
        self.streams.flush()

    def now_ms(self) -> int:
        """The time of the server. Raises ServiceUnavailable unless it is available."""
        if not self.streams.available:
            raise ServiceUnavailable("the gates in memory are unavailable")
        return self.streams.clock.now_us() // 1_000

    def state(self, gate: GateId) -> GateState:
        live, now = self.live.get(gate), self.now_ms()
        if live is None:
            return GateState(self.ended.get(gate, GateStatus.UNKNOWN))
        if live.passed_at_ms is None:
            return GateState(GateStatus.OPEN)
        return GateState(GateStatus.PASSED, now - live.passed_at_ms)

    def end(self, gate: GateId, status: GateStatus) -> None:
        self.live.pop(gate, None)
        self.ended[gate] = status

    def remove_entry(self, stream: str, entry_id: bytes) -> None:
        self.streams.delete(stream, entry_id)
        self.deliveries.pop((stream, entry_id), None)
