"""The contract of the values that enrollments carry (E17)."""

import json

from tests.contract.store_backends import Tables
from tests.support.pipeline.changes import NOON, SECOND, Effect, change, goal_id

from goald import _native
from goald.domain.ids import ContactId, TenantId
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.domain.times import rfc3339
from goald.ports.shard_store import ShardStore

ALL = SlotRange(0, 255)
SHOP = json.dumps('"eu" é\\')
ANN = (TenantId("acme"), ContactId("ann"))


def matcher() -> _native.Matcher:
    """With a workflow whose goal compares `cart_id`."""
    goal = {
        "id": goal_id("paid"), "goal_type": "purchase_made", "is_active": True,
        "criteria": json.dumps({"any_purchase": True, "match": ["cart_id"]}),
        "effective_from": 0, "created_at": 0, "position": 0,
    }  # fmt: skip
    workflow = {
        "tenant_id": "acme", "workflow_id": "w-1", "goal_logic": "any", "is_active": True,
        "goals": [goal],
    }  # fmt: skip
    loaded = _native.Matcher()
    loaded.update_workflows([workflow])
    return loaded


def completed(loaded: _native.Matcher, cart: str) -> list[str]:
    """The enrollments that a payment of this cart completes."""
    event = {
        "id": "pay-1", "source": "shop", "type": "payment.completed", "tenantid": "acme",
        "time": rfc3339(NOON), "data": {"contact_id": "ann", "cart_id": cart},
    }  # fmt: skip
    router = _native.Router(bytes(_native.SLOTS))
    routed = router.route([[b"1-0", [b"event", json.dumps(event).encode()]]])
    buffers = [buffer for _, buffer, _ in routed.buffers]
    proposal = loaded.evaluate(buffers, NOON)
    return [proposal.effects.enrollment_id[effect] for effect in proposal.exits.effect]


async def enroll(store: ShardStore) -> SlotLease:
    """Ann's runs for two carts, and one for none."""
    lease = await store.acquire(ALL, "a")
    began = NOON - 86_400 * SECOND * 30
    runs = [
        Effect("run-1", match_values='{"cart_id":"c-1"}', enrolled_at=began),
        Effect("run-2", match_values=f'{{"cart_id":"c-2","shop":{SHOP}}}', enrolled_at=began),
        Effect("run-3", enrolled_at=began),
    ]
    assert (await store.commit(lease, change(*runs))).effective == b"\1\1\1"
    return lease


async def test_values_are_loaded_with_their_enrollments(store: ShardStore) -> None:
    lease = await enroll(store)
    loaded = matcher()
    await store.load(lease, loaded.load)
    assert completed(loaded, "c-2") == ["run-2"]
    loaded.evict([ANN])
    assert completed(loaded, "c-2") == []
    await store.load_contacts(lease, [ANN], loaded.load)
    assert completed(loaded, "c-1") == ["run-1"]
    assert completed(loaded, "c-3") == []


async def test_values_of_the_first_start_are_kept(store: ShardStore) -> None:
    lease = await enroll(store)
    again = Effect("run-1", match_values='{"cart_id":"c-9"}')
    assert (await store.commit(lease, change(again))).effective == b"\0"
    loaded = matcher()
    await store.load(lease, loaded.load)
    assert (completed(loaded, "c-9"), completed(loaded, "c-1")) == ([], ["run-1"])


async def test_deletion_of_the_contact_removes_its_values(
    store: ShardStore, tables: Tables
) -> None:
    lease = await enroll(store)
    deleted = ("acme", "ann", 3, NOON)
    await store.commit(lease, change(deletions=[deleted]))
    late = Effect("run-4", match_values='{"cart_id":"c-4"}', enrolled_at=NOON - SECOND)
    end = NOON + SECOND
    may_be_hers = Effect(
        "run-5", match_values='{"cart_id":"c-5"}', status="exited", enrolled_at=end, ended_at=end
    )
    await store.commit(lease, change(late, may_be_hers))
    await tables.erase_rows()
    assert await tables.match_values() == dict.fromkeys(f"run-{number}" for number in range(1, 6))
