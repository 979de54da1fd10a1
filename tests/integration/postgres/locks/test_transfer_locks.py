"""Which locks a transfer of a merged contact holds while it waits for others (E21)."""

import asyncio
from dataclasses import replace

import asyncpg
from tests.contract.shard_store.merging import ALL, ANN, BEA, begin, merge, run
from tests.integration.postgres.test_store_fencing import until_a_backend_waits
from tests.support.pipeline.changes import NOON, change, goal_id
from tests.support.services.servers import Database

from goald.adapters.postgres import PostgresShardStore
from goald.pipeline.shard.transfers import rename
from goald.ports.change import MissedEvent, MissedRun

LOCK = "SELECT FROM goald.missed_usage WHERE slot = $1 FOR UPDATE NOWAIT"


async def test_a_transfer_locks_the_usage_of_both_slots_in_their_order(database: Database) -> None:
    """A transfer in the opposite direction has the lower slot, and would wait for the higher one,
    while this one waits for the lower one."""
    assert ANN < BEA
    store = PostgresShardStore(database.dsn)
    other, reader = [await asyncpg.connect(database.admin_dsn) for _ in range(2)]
    try:
        lease = await store.acquire(ALL, "a")
        for contact, slot in (("ann", ANN), ("bea", BEA)):
            enrollment = run(f"e-{contact}", contact)
            payload = f'{{"tenantid":"acme","data":{{"contact_id":"{contact}"}}}}'.encode()
            event = MissedEvent("acme", contact, slot, goal_id(contact), f"{NOON}-0", payload)
            missed = [MissedRun(0, "w-1", f"e-{contact}")]
            miss = replace(change(enrollment), missed_events=[event], missed_runs=missed)
            await store.commit(lease, miss)
        await begin(store, lease, merge())
        (transfer,) = await store.transfers(lease)
        async with asyncio.TaskGroup() as tasks:
            async with other.transaction():
                await other.execute(LOCK, ANN)
                moving = tasks.create_task(store.adopt(lease, transfer, rename))
                await until_a_backend_waits(database)
                async with reader.transaction():
                    await reader.execute(LOCK, BEA)
            assert not await moving
    finally:
        for connection in (other, reader):
            await connection.close()
        await store.close()
