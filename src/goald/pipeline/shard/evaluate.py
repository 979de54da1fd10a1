"""Evaluate: hold a group of events against the goals and enrollments in memory.

Evaluation proposes, and memory takes what Postgres returned (design 2, steps 3 and 4).
"""

from collections.abc import Sequence

from goald import _native
from goald.domain.errors import ServiceUnavailable
from goald.domain.leases import SlotLease
from goald.ports.change import Committed
from goald.ports.shard_store import Configuration, ShardStore


class Evaluator:
    """The state of a shard's slots, and the rules (E1 to E6, E8) over it.

    Not for use by two tasks between `evaluate` and `apply`.
    """

    def __init__(
        self, store: ShardStore, *, clock_skew_us: int, engine: _native.Engine | None = None
    ) -> None:
        """`engine`: another that does as `_native.Engine` does, for comparisons."""
        self._store = store
        self._engine = engine or _native.Engine(clock_skew_us=clock_skew_us)
        self._config_version = 0

    @property
    def config_version(self) -> int:
        """The version of the configuration that events are held against."""
        return self._config_version

    def stats(self) -> dict[str, int]:
        """`_native.Engine.stats`."""
        return self._engine.stats()

    async def load(self, lease: SlotLease) -> None:
        """Take the configuration and every active enrollment of the slots. Raises LeaseLost,
        or ServiceUnavailable if the load was cut off."""
        self.configure(await self._store.configuration(after=0))
        await self._store.load(lease, self._engine.load)
        if not self._engine.load_ended():
            raise ServiceUnavailable("the load of the enrollments was cut off")

    async def reload(self, lease: SlotLease, buffers: Sequence[bytes]) -> None:
        """Load again the contacts of these buffers: after a commit whose outcome is unknown."""
        contacts = self._engine.contacts_of(buffers)
        rows = bytearray()
        await self._store.load_contacts(lease, contacts, rows.extend)
        self._engine.forget(contacts)
        self._engine.load(bytes(rows))

    def configure(self, changed: Configuration) -> None:
        """Take what changed in the configuration (E8). Not between `evaluate` and `apply`."""
        self._engine.update_workflows(changed.workflows)
        self._config_version = changed.version

    def evaluate(self, buffers: Sequence[bytes], now_us: int) -> _native.Proposal:
        """What these events would change. Memory stays as it is. Blocks while Rust works."""
        return self._engine.evaluate(buffers, now_us)

    def tenants_of(self, buffers: Sequence[bytes]) -> list[str]:
        """The tenants that these buffers name."""
        return sorted({tenant for tenant, _ in self._engine.contacts_of(buffers)})

    def apply(self, proposal: _native.Proposal, committed: Committed) -> None:
        """Make memory equal to what was committed of a slice. Slices of a proposal are taken in
        their order."""
        self._engine.apply(proposal, committed.effective)
