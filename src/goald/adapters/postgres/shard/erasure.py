"""The tombstones of deleted contacts.

The transaction of a deletion adds a tombstone, which contains a keyed hash of the contact. From
then on, commits treat late events of its enrollments as deleted.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import uuid4

from goald.adapters.postgres.shard import erasure_statements as statements
from goald.domain.records.erasure import PSEUDONYM_PREFIX, Tombstone
from goald.domain.slots import SlotRange
from goald.ports.change import Deletion

Contact = tuple[str, str]


def new_pseudonym() -> str:
    """A pseudonym from which the contact cannot be computed."""
    return f"{PSEUDONYM_PREFIX}{uuid4()}"


class Tombstones:
    """The tombstones of the slots of one lease. Slots without any cost a commit nothing, because
    only the holder of the lease adds tombstones."""

    def __init__(self) -> None:
        self._exist: bool | None = None

    def forget(self) -> None:
        """Another lease begins."""
        self._exist = None

    def added(self) -> None:
        """These slots have tombstones."""
        self._exist = True

    async def of(
        self, connection: Any, slots: SlotRange, contacts: Iterable[Contact]
    ) -> dict[Contact, Tombstone]:
        """The tombstones of these contacts, in the transaction of the caller."""
        if self._exist is None:
            self._exist = await connection.fetchval(statements.EXIST, slots.first, slots.last)
        keys = list(dict.fromkeys(contacts)) if self._exist else []
        if not keys:
            return {}
        rows = await connection.fetch(
            statements.TOMBSTONES, [tenant for tenant, _ in keys], [contact for _, contact in keys]
        )
        return {keys[place - 1]: Tombstone(at, pseudonym) for place, at, pseudonym in rows}

    async def record(self, connection: Any, deletions: Sequence[Deletion]) -> bool:
        """Add the tombstones of deleted contacts, in the transaction of the caller. A job replaces
        the contacts in their rows later (`PostgresErasurePages`). Returns whether an enrollment
        was cancelled that memory has as active."""
        self.added()
        latest: dict[Contact, tuple[int, int]] = {}
        for tenant, contact, slot, at in deletions:
            latest[tenant, contact] = (slot, max(at, latest.get((tenant, contact), (slot, at))[1]))
        tenants = [tenant for tenant, _ in latest]
        contacts = [contact for _, contact in latest]
        slots, times = zip(*latest.values(), strict=True)
        marks = [row[0] for row in await connection.fetch(statements.MARKS, tenants, contacts)]
        new = [new_pseudonym() for _ in marks]
        await connection.execute(statements.RECORD, marks, tenants, slots, times, new, contacts)
        was_active: bool = await connection.fetchval(
            statements.CANCEL_AHEAD, tenants, contacts, times
        )
        return was_active
