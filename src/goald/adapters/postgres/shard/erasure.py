"""Erases a deleted contact in the transaction of its deletion, and recognizes it afterwards.

The contact's id is replaced by a pseudonym in every row of its enrollments that began at or before
the deletion, and their payloads are emptied. A tombstone, which contains a keyed hash of the
contact, makes later commits treat late events of those enrollments in the same way.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import uuid4

from goald.adapters.postgres.shard import erasure_statements as statements
from goald.domain.records.erasure import PSEUDONYM_PREFIX, Tombstone
from goald.domain.slots import SlotRange
from goald.ports.change import Deletion

ERASE_SECONDS = 600.0
"""The timeout for erasing a contact, whose rows are not bounded in number. A timeout that is too
short would be retried endlessly."""

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

    async def erase(self, connection: Any, deletions: Sequence[Deletion]) -> bool:
        """Erase deleted contacts and add their tombstones, in the transaction of the caller.
        Returns whether an enrollment was still active, although its contact is deleted: memory
        lacks it, or has it as active."""
        self._exist = True
        latest: dict[Contact, tuple[int, int]] = {}
        for tenant, contact, slot, at in deletions:
            latest[tenant, contact] = (slot, max(at, latest.get((tenant, contact), (slot, at))[1]))
        tenants = [tenant for tenant, _ in latest]
        contacts = [contact for _, contact in latest]
        slots, times = zip(*latest.values(), strict=True)
        await connection.execute(statements.PLAN_EACH_TIME)
        marks = [row[0] for row in await connection.fetch(statements.MARKS, tenants, contacts)]
        new = [new_pseudonym() for _ in marks]
        rows = await connection.fetch(statements.RECORD, marks, tenants, slots, times, new)
        pseudonym_of = {row["mark"]: row["pseudonym"] for row in rows}
        pseudonyms = [pseudonym_of[mark] for mark in marks]
        erased = (tenants, contacts, times)
        was_active: bool = await connection.fetchval(statements.ANY_ACTIVE, *erased)
        for statement in (
            statements.ERASE_ACHIEVEMENTS,
            statements.ERASE_ENROLLMENTS,
            statements.ERASE_USED_EVENTS,
            statements.ERASE_OUTBOX,
        ):
            await connection.execute(statement, *erased, pseudonyms, timeout=ERASE_SECONDS)
        return was_active
