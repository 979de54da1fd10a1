"""The contract of `StreamLeases`, in memory and in Postgres."""

import pytest
from tests.contract.store_backends import Tables

from goald.domain.errors import LeaseHeld, LeaseLost
from goald.domain.leases import CurrentLease
from goald.domain.slots import SlotRange


async def test_takeover_raises_the_epoch_and_ends_the_old_lease(tables: Tables) -> None:
    old, new = tables.stream_leases(), tables.stream_leases()
    first = await old.acquire("goald:events:0", "a")
    await old.renew(first)
    second = await new.acquire("goald:events:0", "b")
    assert second.epoch > first.epoch
    with pytest.raises(LeaseLost):
        await old.renew(first)
    await new.renew(second)


async def test_epoch_exceeds_a_given_minimum(
    tables: Tables,
) -> None:
    leases = tables.stream_leases()
    first = await leases.acquire("goald:events:0", "a")
    second = await leases.acquire("goald:events:0", "b", above=first.epoch + 500)
    assert second.epoch > first.epoch + 500
    third = await leases.acquire("goald:events:1", "c", above=first.epoch)
    fourth = await leases.acquire("goald:events:2", "d")
    assert first.epoch < second.epoch < third.epoch < fourth.epoch
    for lease in (second, third, fourth):
        await leases.renew(lease)


async def test_leases_of_different_streams_are_independent(tables: Tables) -> None:
    leases = tables.stream_leases()
    first = await leases.acquire("goald:events:0", "a")
    second = await leases.acquire("goald:events:1", "b")
    await leases.renew(first)
    await leases.renew(second)
    assert (first.stream, second.stream) == ("goald:events:0", "goald:events:1")


async def test_released_lease_is_lost_and_can_be_released_again(tables: Tables) -> None:
    leases = tables.stream_leases()
    first = await leases.acquire("goald:events:0", "a")
    await leases.release(first)
    with pytest.raises(LeaseLost):
        await leases.renew(first)
    second = await leases.acquire("goald:events:0", "b")
    await leases.release(first)
    await leases.renew(second)


async def test_lease_stays_with_its_holder_if_the_policy_refuses(tables: Tables) -> None:
    old, new = tables.stream_leases(), tables.stream_leases()
    first = await old.acquire("goald:events:0", "a")
    seen: list[CurrentLease] = []

    def refuse(lease: CurrentLease) -> bool:
        seen.append(lease)
        return False

    with pytest.raises(LeaseHeld, match="a"):
        await new.acquire("goald:events:0", "b", refuse)
    await old.renew(first)
    with pytest.raises(LeaseHeld):
        await new.acquire("goald:events:0", "b", refuse)
    assert [(lease.epoch, lease.holder, lease.is_expired) for lease in seen] == 2 * [
        (first.epoch, "a", False)
    ]
    assert seen[0].renewed != seen[1].renewed, "the renewal count does not change"
    second = await new.acquire("goald:events:0", "b", lambda lease: lease.holder == "a")
    await new.renew(second)


async def test_slots_stay_with_their_holders_if_the_policy_refuses(tables: Tables) -> None:
    low, high, taker = tables.store(), tables.store(), tables.store()
    leases = await low.acquire(SlotRange(0, 99), "a"), await high.acquire(SlotRange(100, 199), "b")
    with pytest.raises(LeaseHeld, match="b"):
        await taker.acquire(SlotRange(50, 255), "c", lambda lease: lease.holder == "a")
    for store, lease in zip((low, high), leases, strict=True):
        await store.renew(lease, 1)
        await store.check(lease)
    await taker.acquire(SlotRange(200, 255), "c", lambda lease: False)
    await low.release(leases[0])
    await taker.acquire(SlotRange(0, 99), "c", lambda lease: False)
