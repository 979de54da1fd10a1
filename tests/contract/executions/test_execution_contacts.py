"""The contract of executions whose contacts are deleted or merged."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.contract.store_backends import Tables
from tests.support.pipeline.changes import NOON, SECOND, Effect, change, goal_id
from tests.support.pipeline.executions import NOON_MS, Log, Transition, with_executions

from goald._native import with_contact
from goald.domain.ids import ContactId, TenantId
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange, slot_of
from goald.ports.change import ContactMerge
from goald.ports.executions.store import EntryCheck, EntryFacts
from goald.ports.shard_store import ShardStore

ALL = SlotRange(0, 255)
SLOT = slot_of(TenantId("acme"), ContactId("ann"))
BLOCKED = Log("opt_out_blocked", contact_id="ann")


async def run(
    store: ShardStore, lease: SlotLease, execution: str, contact: str = "ann",
    at: int = NOON, logs: Sequence[Log] = (), workflow: str = "w-1",
) -> bytes:  # fmt: skip
    """Start an execution. Returns the transitions that were written."""
    slot = slot_of(TenantId("acme"), ContactId(contact))
    start = Transition(
        execution, 0, contact_id=contact, workflow_id=workflow, slot=slot,
        started_at_ms=at // 1_000,
        variables='{"street": "x"}', used_events=["form"], gate="0000000001-00000000.1",
    )  # fmt: skip
    effect = Effect(execution, contact_id=contact, workflow_id=workflow, slot=slot, enrolled_at=at)
    committed = await store.commit(lease, with_executions([effect], start, logs=logs))
    return committed.transitions


async def delete(store: ShardStore, lease: SlotLease, contact: str = "ann") -> None:
    deletion = ("acme", contact, slot_of(TenantId("acme"), ContactId(contact)), NOON + SECOND)
    await store.commit(lease, change(deletions=[deletion]))


async def loaded(store: ShardStore, lease: SlotLease) -> bytes:
    pieces: list[bytes] = []
    await store.executions.load(lease, pieces.append)
    return b"".join(pieces)


async def last_start(
    store: ShardStore, lease: SlotLease, contact: str, execution: str = "e-new"
) -> EntryFacts:
    (facts,) = await store.executions.starts(lease, [EntryCheck("acme", contact, "w-1", execution)])
    return facts


# Deletion


async def test_deleted_contact_is_in_no_row(tables: Tables, store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await run(store, lease, "e-1", logs=[Log("execution_started", 0), BLOCKED])
    await run(store, lease, "e-bob", "bob", logs=[replace(BLOCKED, contact_id="bob")])
    await delete(store, lease)
    await tables.erase_rows()
    rows = await tables.executions()
    erased = rows.executions["e-1"]
    assert erased.contact.startswith("erased:")
    assert (erased.status, erased.reason) == ("CANCELLED", "contact_deleted")
    assert (erased.used, erased.gate, erased.variables) == (0, None, None)
    assert rows.executions["e-bob"].contact == "bob"
    assert rows.executions["e-bob"].reason is None
    assert rows.entries == {("bob", "w-1"): (NOON_MS, False)}
    assert rows.logs == [
        ("execution_started", "e-1", None),
        ("opt_out_blocked", None, None),
        ("opt_out_blocked", None, "bob"),
    ]
    pieces = await loaded(store, lease)
    assert b"e-bob" in pieces
    assert b"e-1" not in pieces


async def test_start_before_the_deletion_writes_no_execution(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await delete(store, lease)
    assert await run(store, lease, "e-1", logs=[Log("execution_started", 0), BLOCKED]) == b"\0"
    assert await tables.executions() == ({}, {}, [("opt_out_blocked", None, None)], {})


async def test_contact_of_a_later_life_keeps_its_executions(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await run(store, lease, "e-1")
    await delete(store, lease)
    later = NOON + 2 * SECOND
    logs = [replace(BLOCKED, at_ms=later // 1_000)]
    assert await run(store, lease, "e-2", at=later, logs=logs) == b"\1"
    await tables.erase_rows()
    rows = await tables.executions()
    assert (rows.executions["e-2"].contact, rows.executions["e-2"].reason) == ("ann", None)
    assert rows.entries == {("ann", "w-1"): (later // 1_000, False)}
    assert rows.logs == [("opt_out_blocked", None, "ann")]


async def test_starts_of_a_deleted_contact_do_not_count(store: ShardStore) -> None:
    """Also before its rows are erased. The execution still exists, so that it is not repeated."""
    lease = await store.acquire(ALL, "a")
    await run(store, lease, "e-1")
    await delete(store, lease)
    assert await last_start(store, lease, "ann", "e-1") == EntryFacts(
        exists=True, last_started_ms=None
    )


# Merges


async def merge(
    store: ShardStore, lease: SlotLease, into: str = "bea", at: int = NOON + SECOND
) -> None:
    merged = ContactMerge("acme", "ann", SLOT, into, goal_id(f"merge {into}"), at, at)
    await store.commit(lease, change(merges=[merged]))


async def adopt(store: ShardStore, lease: SlotLease) -> None:
    for transfer in await store.transfers(lease):
        while await store.adopt(lease, transfer, with_contact):
            pass


async def test_execution_of_a_merged_contact_belongs_to_no_shard_until_it_moves(
    store: ShardStore,
) -> None:
    lease = await store.acquire(ALL, "a")
    await run(store, lease, "e-1")
    await merge(store, lease)
    assert b"e-1" not in await loaded(store, lease)
    await adopt(store, lease)
    assert b"e-1" in await loaded(store, lease)


async def test_executions_continue_under_the_other_contact(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await run(store, lease, "e-1", at=NOON + SECOND // 2)
    await run(store, lease, "e-bea", "bea")
    await merge(store, lease)
    await adopt(store, lease)
    rows = await tables.executions()
    slot = slot_of(TenantId("acme"), ContactId("bea"))
    assert {row[:2] for row in rows.executions.values()} == {("bea", slot)}
    assert rows.entries == {("bea", "w-1"): (NOON_MS + 500, False)}
    assert (await last_start(store, lease, "bea")).last_started_ms == NOON_MS + 500


async def test_executions_move_to_a_deleted_contact_as_cancelled(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await run(store, lease, "e-1")
    await merge(store, lease)
    await delete(store, lease, "bea")
    await adopt(store, lease)
    await tables.erase_rows()
    rows = await tables.executions()
    row = rows.executions["e-1"]
    assert row.contact.startswith("erased:")
    assert (row.status, row.reason, row.gate) == ("CANCELLED", "contact_deleted", None)
    assert rows.entries == {}
    assert b"e-1" not in await loaded(store, lease)


@pytest.mark.parametrize("order", [("bea", "cleo"), ("cleo", "bea")], ids=" before ".join)
async def test_entries_of_a_later_life_continue_under_the_contact_of_its_merge(
    tables: Tables, store: ShardStore, order: tuple[str, str]
) -> None:
    """Whichever of the two shards moves its rows first."""
    lease = await store.acquire(ALL, "a")
    await run(store, lease, "e-1", workflow="w-2")
    await merge(store, lease)
    await delete(store, lease, "bea")
    later = NOON + 2 * SECOND
    await run(store, lease, "e-2", at=later)
    await merge(store, lease, "cleo", later + SECOND)
    transfers = {each.into_contact_id: each for each in await store.transfers(lease)}
    for into in order:
        while await store.adopt(lease, transfers[ContactId(into)], with_contact):
            pass
    rows = await tables.executions()
    assert rows.entries == {("cleo", "w-1"): (later // 1_000, False)}
    assert (rows.executions["e-1"].reason, rows.executions["e-2"].contact) == (
        "contact_deleted",
        "cleo",
    )
