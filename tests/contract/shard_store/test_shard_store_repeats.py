"""The contract of `ShardStore.repeats`: which starts begin no active enrollment (E5)."""

import pytest
from tests.contract.store_backends import Tables
from tests.support.pipeline.changes import NOON, SECOND, Effect, change

from goald.domain.errors import LeaseLost
from goald.domain.ids import ContactId, TenantId
from goald.domain.slots import SlotRange
from goald.ports.shard_store import EnrollmentStart, ShardStore

ALL = SlotRange(0, 255)


def start(
    enrollment: str, contact: str = "ann", enrolled_at: int = NOON, tenant: str = "acme"
) -> EnrollmentStart:
    return EnrollmentStart(TenantId(tenant), enrollment, ContactId(contact), enrolled_at)


async def test_start_is_a_repeat_if_its_id_exists(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    ended = Effect("e-2", "bob", status="exited", ended_at=NOON)
    await store.commit(lease, change(Effect("e-1"), ended))
    starts = [start("e-1"), start("e-2"), start("e-3"), start("e-1", tenant="globex")]
    assert await store.repeats(lease, starts) == {("acme", "e-1"), ("acme", "e-2")}


async def test_start_is_a_repeat_if_its_contact_was_deleted_later(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(deletions=[("acme", "ann", 3, NOON + SECOND)]))
    starts = [
        start("e-1"),
        start("e-2", enrolled_at=NOON + SECOND),
        start("e-3", enrolled_at=NOON + SECOND + 1),
        start("e-4", "bob"),
        start("e-5", tenant="globex"),
    ]
    assert await store.repeats(lease, starts) == {("acme", "e-1"), ("acme", "e-2")}
    committed = await store.commit(lease, change(*(Effect(each.enrollment_id) for each in starts)))
    assert committed.effective[0] == 0


async def test_replaced_holder_learns_nothing(tables: Tables) -> None:
    old, new = tables.store(), tables.store()
    lease = await old.acquire(ALL, "a")
    await new.acquire(ALL, "b")
    with pytest.raises(LeaseLost):
        await old.repeats(lease, [start("e-1")])
