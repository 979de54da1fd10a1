"""Merges (E21) over a `DictStore`: the runs move in the moment of the merge."""

from collections.abc import Sequence

from tests.support.pipeline.dict_store import DictStore, Row

from goald import _native
from goald.domain.contacts.continuing import continue_contact
from goald.domain.contacts.forwards import join_merges


class DictMerges:
    """Which contacts continue others, and the merges of a table."""

    def __init__(self, store: DictStore) -> None:
        self._store = store
        self._into: dict[tuple[str, str], tuple[str, tuple[int, ...]]] = {}
        """By tenant and contact: the contact that continues it, and the merges that led there."""

    def commit(
        self, proposal: _native.Proposal
    ) -> tuple[Sequence[tuple[str, str, str, tuple[int, ...]]], Sequence[bytes]]:
        """Write the merges of a proposal. Returns tenant, contact, the contact that continues it
        and the merges that led there, for each that moved; and the ids of rejected entries."""
        moved, rejected = [], []
        for row, source in zip(proposal.merges, proposal.merge_sources, strict=True):
            tenant, contact, _, into, _, at, received_at = row
            end, merges = self._end_of(tenant, into, (received_at,))
            if (tenant, contact) in self._into:
                if self._end_of(tenant, contact, ())[0] != end:
                    rejected.append(source[1])
            elif end == contact:
                rejected.append(source[1])
            elif at > self._store.deleted.get((tenant, contact), at - 1):
                self._into[tenant, contact] = end, merges
                self._move(tenant, contact, end, merges)
                moved.append((tenant, contact, end, merges))
        return moved, rejected

    def _end_of(
        self, tenant: str, contact: str, merges: tuple[int, ...]
    ) -> tuple[str, tuple[int, ...]]:
        """The contact that continues this one, and these merges with those that led there."""
        while (tenant, contact) in self._into:
            contact, later = self._into[tenant, contact]
            merges = join_merges(merges, later)
        return contact, merges

    def _move(self, tenant: str, contact: str, into: str, merges: tuple[int, ...]) -> None:
        store = self._store
        for key, row in store.rows.items():
            if (key[0], row.contact) == (tenant, contact):
                self._move_run(tenant, into, row)
                row.merges = join_merges(row.merges, merges)
                if key in store.missed:
                    event, entry, payload, old = store.missed[key]
                    store.missed[key] = event, entry, _native.with_contact(payload, into), old
        for runs in [runs for runs in store.used if runs[:2] == (tenant, contact)]:
            uses = store.used.setdefault((tenant, into, runs[2]), {})
            for event, at in store.used.pop(runs).items():
                uses[event] = max(at, uses.get(event, at))
        known = store.contacts_known.pop((tenant, contact), None)
        if known is not None:
            survivor = store.contacts_known.get((tenant, into))
            store.contacts_known[tenant, into] = continue_contact(survivor, known)

    def _move_run(self, tenant: str, into: str, row: Row) -> None:
        row.contact = into
        if row.ended_at is not None and row.ended_at <= row.enrolled_at:
            row.start_is_known = False  # the tables do not show it any more
        if row.status == "active":
            row.excluded |= frozenset(self._store.used.get((tenant, into, row.workflow), ()))
