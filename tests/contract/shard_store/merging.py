"""Functions that the contracts of merges share (E21)."""

from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from tests.contract.store_backends import Tables
from tests.support.pipeline.changes import NOON, SECOND, Effect, change

from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange, slot_of
from goald.pipeline.shard.transfers import rename
from goald.ports.change import ContactMerge, MergeOutcome
from goald.ports.shard_store import ShardStore

ALL = SlotRange(0, 255)
ANN, BEA = slot_of("acme", "ann"), slot_of("acme", "bea")


def merge(contact: str = "ann", into: str = "bea", at: int = NOON + SECOND) -> ContactMerge:
    key = str(uuid5(NAMESPACE_DNS, f"{contact} {into} {at}"))
    return ContactMerge("acme", contact, slot_of("acme", contact), into, key, at, at)


def run(enrollment: str, contact: str = "ann", **values: Any) -> Effect:
    slot = slot_of("acme", contact)
    return Effect(enrollment, contact, slot=slot, **values)


async def begin(store: ShardStore, lease: SlotLease, *merges: ContactMerge) -> list[MergeOutcome]:
    return list((await store.commit(lease, change(merges=merges))).merges)


async def adopt(store: ShardStore, lease: SlotLease) -> None:
    for transfer in await store.transfers(lease):
        while await store.adopt(lease, transfer, rename):
            pass


async def loaded(store: ShardStore, lease: SlotLease) -> bytes:
    rows = bytearray()
    await store.load(lease, rows.extend)
    return bytes(rows)


async def owners(tables: Tables) -> dict[str, tuple[str, str]]:
    return {id_: (row[0], row[1]) for id_, row in (await tables.enrollments()).items()}
