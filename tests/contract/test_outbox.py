"""The contract of `Outbox`, in memory and in Postgres (D10)."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from tests.contract.store_backends import PostgresTables, Tables
from tests.support.pipeline.changes import NOON, SECOND, Effect, change
from tests.support.services.servers import Database

from goald.adapters.postgres.shard.commit import CommitOptions
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.domain.streams import OutboundStream
from goald.ports.outbox import Outbox, StoredMessage
from goald.ports.shard_store import ShardStore

ALL = SlotRange(0, 255)
LOW, HIGH = SlotRange(0, 127), SlotRange(128, 255)
DAY = 86_400.0
ANY_AGE = -DAY
"""An age that every row has reached."""


def exited(enrollment: str, *messages: str, contact: str = "ann", slot: int = 3) -> Effect:
    """An enrollment that meets its goal immediately, with exits."""
    return Effect(
        enrollment,
        contact_id=contact,
        slot=slot,
        status="completed_goal",
        ended_at=NOON + SECOND,
        met_goals=["g"],
        achieves=["g"],
        messages=messages or (enrollment,),
    )


async def committed(store: ShardStore, lease: SlotLease, *effects: Effect) -> list[StoredMessage]:
    return list((await store.commit(lease, change(*effects))).outbox)


async def published(store: ShardStore, lease: SlotLease, *effects: Effect) -> list[int]:
    numbers = [row.number for row in await committed(store, lease, *effects)]
    await store.outbox.mark_published(lease, numbers)
    return numbers


async def pages(read: Callable[[int], Awaitable[list[StoredMessage]]]) -> list[list[StoredMessage]]:
    found: list[list[StoredMessage]] = []
    after = 0
    while page := await read(after):
        found.append(page)
        after = page[-1].number
    return found


async def all_published(outbox: Outbox, lease: SlotLease, within_s: float = DAY) -> list[str]:
    until = (await outbox.database_identity()).now_us
    since = until - round(within_s * 1e6)
    found = await pages(lambda after: outbox.published(lease, since, until, after))
    return [row.message.payload for page in found for row in page]


def payloads(rows: list[StoredMessage]) -> list[str]:
    return [row.message.payload for row in rows]


# Unpublished rows


async def test_a_long_outbox_is_listed_in_pages_and_in_order(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    names = [f"{number}" for number in range(2_300)]
    await committed(store, lease, Effect("e-1", messages=names))
    found = await pages(lambda after: store.outbox.unpublished(lease, after))
    assert len(found) > 2
    assert [row.message.payload for page in found for row in page] == names


async def test_a_page_is_bounded_in_bytes_but_never_empty(database: Database) -> None:
    tables = PostgresTables(database)
    store = tables.store()
    lease = await store.acquire(ALL, "a")
    large = "x" * (3 << 20)
    await committed(store, lease, Effect("e-1", messages=[large + "1", large + "2", "3", "4"]))
    found = await pages(lambda after: store.outbox.unpublished(lease, after))
    assert [[row.message.payload[-1] for row in page] for page in found] == [["1", "2"], ["3", "4"]]
    await tables.close()


# Published rows, to be published again after a server was replaced (D10)


async def test_recently_published_rows_are_listed_in_order(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await published(store, lease, exited("e-2"), exited("e-1", "one", "two"))
    await committed(store, lease, exited("e-3"))
    assert await all_published(store.outbox, lease) == ["e-2", "one", "two"]
    assert await all_published(store.outbox, lease, within_s=-1) == []


async def test_published_rows_are_listed_in_pages(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    names = [f"{number}" for number in range(2_300)]
    await published(store, lease, Effect("e-1", messages=names))
    assert await all_published(store.outbox, lease) == names


async def test_rows_of_another_slot_range_are_not_listed(tables: Tables) -> None:
    low, high = tables.store(), tables.store()
    low_lease, high_lease = await low.acquire(LOW, "a"), await high.acquire(HIGH, "b")
    await published(low, low_lease, exited("e-1", slot=3))
    (last,) = await published(high, high_lease, exited("e-2", contact="bob", slot=200))
    assert await all_published(low.outbox, low_lease) == ["e-1"]
    assert await low.outbox.last_published(low_lease) < last
    assert await high.outbox.last_published(high_lease) == last


async def test_redacted_rows_of_a_deleted_contact_are_not_listed(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await published(store, lease, exited("e-1"), exited("e-2", contact="bob"))
    await store.commit(lease, change(deletions=[("acme", "ann", 3, NOON + 2 * SECOND)]))
    await tables.erase_rows()
    assert await all_published(store.outbox, lease) == ["e-2"]


async def test_the_next_holder_knows_how_far_the_last_one_published(tables: Tables) -> None:
    dead, taker = tables.store(), tables.store()
    lease = await dead.acquire(LOW, "a")
    assert await dead.outbox.last_published(lease) == 0
    numbers = await published(dead, lease, exited("e-1", "one", "two"))
    await committed(dead, lease, exited("e-2"))
    taken = await taker.acquire(LOW, "b")
    assert await taker.outbox.last_published(taken) == numbers[-1]


async def test_a_database_has_the_same_identity_for_all_stores(tables: Tables) -> None:
    first, other = tables.store(), tables.store()
    assert (await first.outbox.database_identity()).name == (
        await other.outbox.database_identity()
    ).name


# Exits without an acknowledgement


async def due(store: ShardStore, lease: SlotLease, after_s: float = ANY_AGE) -> list[str]:
    return payloads(await store.outbox.due_exits(lease, after_s, DAY))


@pytest.fixture
def waiting(tables: Tables) -> ShardStore:
    """A store that marks exits as waiting for their acknowledgement."""
    return tables.store(CommitOptions(exits_wait=True))


async def test_exit_is_due_until_it_is_acknowledged(tables: Tables, waiting: ShardStore) -> None:
    lease = await waiting.acquire(ALL, "a")
    await published(waiting, lease, exited("e-1"), exited("e-2", contact="bob"))
    assert await due(waiting, lease) == ["e-1", "e-2"]
    acknowledged = ("acme", "e-1", "ann", "w-1", 3, 0, NOON)
    await waiting.commit(lease, change(acknowledgements=[acknowledged]))
    assert await due(waiting, lease) == ["e-2"]
    assert await due(waiting, lease) == ["e-2"]


async def test_exit_is_due_only_after_an_interval_since_its_last_publication(
    waiting: ShardStore,
) -> None:
    lease = await waiting.acquire(ALL, "a")
    first = await published(waiting, lease, exited("e-1"))
    await committed(waiting, lease, exited("e-2"))
    assert await due(waiting, lease, after_s=60) == []
    assert await due(waiting, lease) == ["e-1"]
    await published(waiting, lease, exited("e-3", contact="bob"))
    await waiting.outbox.mark_republished(lease, first)
    assert sorted(await due(waiting, lease)) == ["e-1", "e-3"]


async def test_exit_that_is_too_old_is_not_due(waiting: ShardStore) -> None:
    lease = await waiting.acquire(ALL, "a")
    await published(waiting, lease, exited("e-1"))
    assert await waiting.outbox.due_exits(lease, ANY_AGE, ANY_AGE) == []
    assert await due(waiting, lease) == []


async def test_exit_of_a_deleted_contact_is_not_due(tables: Tables, waiting: ShardStore) -> None:
    lease = await waiting.acquire(ALL, "a")
    await published(waiting, lease, exited("e-1"))
    await waiting.commit(lease, change(deletions=[("acme", "ann", 3, NOON + 2 * SECOND)]))
    await tables.erase_rows()
    assert await due(waiting, lease) == []


async def test_exits_due_behind_many_that_were_acknowledged_are_found(
    waiting: ShardStore,
) -> None:
    lease = await waiting.acquire(ALL, "a")
    many = [f"e-{number}" for number in range(1_200)]
    await published(waiting, lease, *(exited(name) for name in many))
    await waiting.commit(
        lease,
        change(acknowledgements=[("acme", name, "ann", "w-1", 3, 0, NOON) for name in many[:-1]]),
    )
    assert await due(waiting, lease) == [many[-1]]


async def test_unacknowledged_exit_is_not_deleted_before_its_time(
    tables: Tables, waiting: ShardStore
) -> None:
    lease = await waiting.acquire(ALL, "a")
    await published(waiting, lease, exited("e-1"), exited("e-2", contact="bob"))
    acknowledged = ("acme", "e-2", "bob", "w-1", 3, 0, NOON)
    await waiting.commit(lease, change(acknowledgements=[acknowledged]))
    assert await due(waiting, lease) == ["e-1"]
    assert await waiting.outbox.delete_published(lease, ANY_AGE, DAY) == 1
    assert await tables.payloads() == ["e-1"]
    assert await waiting.outbox.delete_published(lease, ANY_AGE) == 1


async def test_other_messages_are_never_due(tables: Tables) -> None:
    plain = tables.store()
    lease = await plain.acquire(ALL, "a")
    exit_change = change(exited("e-1"))
    notices = [
        replace(row, stream=OutboundStream.NOTICES, payload="notice") for row in exit_change.outbox
    ]
    stored = await plain.commit(lease, replace(exit_change, outbox=notices))
    await plain.outbox.mark_published(lease, [row.number for row in stored.outbox])
    assert await due(plain, lease) == []


# Deleting published rows


async def test_published_rows_are_not_listed_and_can_be_deleted(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    committed = await store.commit(
        lease, change(Effect("e-1", messages=["one", "two"]), Effect("e-2", messages=["three"]))
    )
    numbers = [stored.number for stored in committed.outbox]
    await store.outbox.mark_published(lease, numbers[:2])
    assert [stored.number for stored in await store.outbox.unpublished(lease)] == numbers[2:]
    assert await store.outbox.delete_published(lease, 3_600) == 0
    assert await store.outbox.delete_published(lease, -1) == 2
    assert await tables.payloads() == ["three"]


async def test_many_expired_rows_are_deleted_in_bounded_steps(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    committed = await store.commit(lease, change(Effect("e-1", messages=["one"] * 5_200)))
    await store.outbox.mark_published(lease, [stored.number for stored in committed.outbox])
    assert await store.outbox.delete_published(lease, -1) == 5_000
    assert await store.outbox.delete_published(lease, -1) == 200
    assert await tables.payloads() == []


async def test_next_holder_finds_the_unpublished_rows(tables: Tables) -> None:
    dead, taker = tables.store(), tables.store()
    lease = await dead.acquire(LOW, "a")
    await dead.commit(lease, change(Effect("e-1", messages=["exit"])))
    found = await taker.outbox.unpublished(await taker.acquire(LOW, "b"))
    assert [stored.message.payload for stored in found] == ["exit"]
