"""The contract of `ShardStore.configuration`, in memory and in Postgres."""

from tests.contract.store_backends import Tables

from goald.ports.configuration import Configuration
from goald.ports.shard_store import ShardStore


def known(configuration: Configuration) -> set[tuple[str, str]]:
    return {(each["tenant_id"], each["workflow_id"]) for each in configuration.workflows}


async def test_a_deletion_is_reported_to_a_shard_that_loaded_the_workflow(
    tables: Tables, store: ShardStore
) -> None:
    await tables.save_workflow(1, "acme", "w-1")
    await tables.save_workflow(2, "acme", "w-2")
    loaded = await store.configuration(0)
    assert (loaded.version, known(loaded)) == (2, {("acme", "w-1"), ("acme", "w-2")})
    await tables.delete_workflow(3, "acme", "w-1")
    changed = await store.configuration(2)
    assert changed == Configuration(3, [], [("acme", "w-1")])
    assert await store.configuration(3) == Configuration(3, [], [])


async def test_a_shard_that_starts_reads_no_deletion_and_reaches_its_version(
    tables: Tables, store: ShardStore
) -> None:
    await tables.save_workflow(1, "acme", "w-1")
    await tables.save_workflow(2, "acme", "w-2")
    await tables.delete_workflow(3, "acme", "w-2")
    loaded = await store.configuration(0)
    assert (loaded.version, known(loaded), loaded.deleted) == (3, {("acme", "w-1")}, [])


async def test_a_workflow_that_is_created_again_is_not_deleted(
    tables: Tables, store: ShardStore
) -> None:
    await tables.save_workflow(1, "acme", "w-1")
    await tables.delete_workflow(2, "acme", "w-1")
    await tables.save_workflow(3, "acme", "w-1")
    changed = await store.configuration(1)
    assert (changed.version, known(changed), changed.deleted) == (3, {("acme", "w-1")}, [])
    assert changed.workflows[0]["is_active"]
