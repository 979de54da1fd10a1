"""What all `StreamLeases` keep to, in memory and in Postgres."""

from collections.abc import AsyncIterator

import pytest
from tests.contract.store_backends import MemoryTables, PostgresTables, Tables

from goald.domain.errors import LeaseLost


@pytest.fixture(params=["memory", "postgres"])
async def tables(request: pytest.FixtureRequest) -> AsyncIterator[Tables]:
    made: Tables
    if request.param == "memory":
        made = MemoryTables()
    else:
        made = PostgresTables(request.getfixturevalue("database"))
    yield made
    await made.close()


async def test_taker_has_a_greater_epoch_and_the_old_holder_learns_it(tables: Tables) -> None:
    old, new = tables.stream_leases(), tables.stream_leases()
    first = await old.take("goald:events:0", "a")
    await old.renew(first)
    second = await new.take("goald:events:0", "b")
    assert second.epoch > first.epoch
    with pytest.raises(LeaseLost):
        await old.renew(first)
    await new.renew(second)


async def test_streams_are_held_apart(tables: Tables) -> None:
    leases = tables.stream_leases()
    first = await leases.take("goald:events:0", "a")
    second = await leases.take("goald:events:1", "b")
    await leases.renew(first)
    await leases.renew(second)
    assert (first.stream, second.stream) == ("goald:events:0", "goald:events:1")


async def test_released_lease_is_lost_and_releasing_it_again_harms_nobody(tables: Tables) -> None:
    leases = tables.stream_leases()
    first = await leases.take("goald:events:0", "a")
    await leases.release(first)
    with pytest.raises(LeaseLost):
        await leases.renew(first)
    second = await leases.take("goald:events:0", "b")
    await leases.release(first)
    await leases.renew(second)
