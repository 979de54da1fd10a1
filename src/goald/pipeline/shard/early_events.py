"""Events that came before the enrollment that they are for: kept a while, and judged again when
it has begun (E7)."""

from collections import deque
from collections.abc import Iterable, Sequence

from goald import _native
from goald.pipeline.shard.group import Group
from goald.pipeline.shard_batch import ShardBatch
from goald.ports.clock import Clock

EARLY_EVENTS = 100_000
"""How many a shard keeps at most; beyond it the oldest is let go."""

Contact = tuple[str, str]


class EarlyEvents:
    """The events of the last seconds that goals may wait for, by contact, in their order.

    Every one is kept, whether it met a goal or not: what it met stays met, and a repeat changes
    nothing (D1). Consumers acknowledge none of them before its time is over.
    """

    def __init__(self, seconds: float, clock: Clock, most: int = EARLY_EVENTS) -> None:
        self._seconds = seconds
        self._clock = clock
        self._most = most
        self._order: deque[tuple[float, Contact]] = deque()
        self._held: dict[Contact, deque[ShardBatch]] = {}

    def __len__(self) -> int:
        return len(self._order)

    def hold(self, group: Group, now_us: int) -> None:
        """Keep a group's, and let go of those whose time is over."""
        now = self._clock.monotonic()
        for part in group.parts:
            for tenant, contact, buffer in _native.goal_events([part.buffer], now_us):
                self._order.append((now + self._seconds, (tenant, contact)))
                held = self._held.setdefault((tenant, contact), deque())
                held.append(part._replace(buffer=buffer))
        while self._order and (self._order[0][0] <= now or len(self._order) > self._most):
            self._let_go(self._order.popleft()[1])

    def of(self, contacts: Iterable[Contact]) -> Group | None:
        """What is kept of these contacts, as a group that nobody waits for; None for nothing."""
        now = self._clock.monotonic()
        while self._order and self._order[0][0] <= now:
            self._let_go(self._order.popleft()[1])
        parts: Sequence[ShardBatch] = [
            part for contact in sorted(contacts) for part in self._held.get(contact, ())
        ]
        return Group(parts, ()) if parts else None

    def _let_go(self, contact: Contact) -> None:
        held = self._held[contact]
        held.popleft()
        if not held:
            del self._held[contact]


def begun(proposal: _native.Proposal) -> set[Contact]:
    """The contacts of enrollments that a commit began, or may have begun, and that are active."""
    effects = proposal.effects
    columns = zip(
        effects.is_new, effects.status, effects.tenant_id, effects.contact_id, strict=True
    )
    return {
        (tenant, contact)
        for is_new, status, tenant, contact in columns
        if is_new and status == "active"
    }
