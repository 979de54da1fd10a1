"""Merges (E21) over a `DictStore`: the runs move in the moment of the merge."""

from collections.abc import Sequence

from tests.support.pipeline.dict_store import DictStore, Row

from goald import _native
from goald.domain.contacts.continuing import continue_contact


class DictMerges:
    """Which contacts continue others, and the merges of a table."""

    def __init__(self, store: DictStore) -> None:
        self._store = store
        self._into: dict[tuple[str, str], str] = {}

    def commit(
        self, proposal: _native.Proposal
    ) -> tuple[Sequence[tuple[str, str, str]], Sequence[bytes]]:
        """Write the merges of a proposal. Returns tenant, contact and the contact that continues
        it, for each that moved; and the ids of rejected entries."""
        moved, rejected = [], []
        for row, source in zip(proposal.merges, proposal.merge_sources, strict=True):
            tenant, contact, _, into, _, at, _ = row
            end = self._end_of(tenant, into)
            if (tenant, contact) in self._into:
                if self._end_of(tenant, contact) != end:
                    rejected.append(source[1])
            elif end == contact:
                rejected.append(source[1])
            elif at > self._store.deleted.get((tenant, contact), at - 1):
                self._into[tenant, contact] = end
                self._move(tenant, contact, end)
                moved.append((tenant, contact, end))
        return moved, rejected

    def _end_of(self, tenant: str, contact: str) -> str:
        while (tenant, contact) in self._into:
            contact = self._into[tenant, contact]
        return contact

    def _move(self, tenant: str, contact: str, into: str) -> None:
        store = self._store
        for key, row in store.rows.items():
            if (key[0], row.contact) == (tenant, contact):
                self._move_run(tenant, into, row)
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
        if row.status == "active":
            row.excluded |= frozenset(self._store.used.get((tenant, into, row.workflow), ()))
