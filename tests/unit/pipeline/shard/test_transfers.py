"""Transfers of merged contacts (E21) in the pipeline in memory: which of them wait for others."""

import asyncio

import pytest
from tests.support.pipeline.in_memory_pipeline import STREAM, InMemoryPipeline

from goald import _native
from goald.domain.leases import SlotLease
from goald.pipeline.shard_batch import Origin, ShardBatch
from goald.ports.shard_store import RenameContact, Transfer


async def merge(pipeline: InMemoryPipeline, contact: str, into: str) -> None:
    await pipeline.send("contact.merged", contact, into_contact_id=into)


async def test_a_merge_that_postgres_refuses_holds_up_no_other() -> None:
    pipeline = InMemoryPipeline()
    pipeline.configure()
    pipeline.database.refused_contacts.add("bea")
    async with pipeline.running():
        await pipeline.enroll("e-1", "ann")
        await merge(pipeline, "ann", "bea")
        await pipeline.enroll("e-2", "dora")
        await merge(pipeline, "dora", "cleo")
        await pipeline.tag(contact="cleo")
        await pipeline.all_acknowledged()
        assert pipeline.exits == ["e-2"]
    (transfer,) = pipeline.database.transfers.values()
    assert (transfer.contact_id, transfer.reason is None) == ("ann", False)
    assert pipeline.database.enrollments["acme", "e-1"].contact_id == "ann"
    pipeline.database.refused_contacts.clear()
    transfer.retry_at = None  # some minutes later
    async with pipeline.running():
        await pipeline.tag(contact="bea")
        await pipeline.until(lambda: pipeline.exits == ["e-2", "e-1"])


async def test_a_transfer_waits_for_none_of_an_earlier_life_of_its_contact() -> None:
    """Later events would count for its runs, but not those that are delivered again with it."""
    pipeline = InMemoryPipeline()
    pipeline.configure()
    pipeline.database.refused_contacts.add("bea")
    async with pipeline.running():
        await pipeline.enroll("e-1", "ann")
        await merge(pipeline, "ann", "bea")
        await pipeline.all_acknowledged()
        await asyncio.sleep(0.01)  # ids of entries are times in milliseconds
        await pipeline.send("contact.deleted", "bea")
        await pipeline.all_acknowledged()
        await asyncio.sleep(0.01)
        await pipeline.enroll("e-2", "ann")  # of a new life
        await merge(pipeline, "ann", "cleo")
        await pipeline.tag(contact="cleo")
        await pipeline.all_acknowledged()
        assert pipeline.exits == ["e-2"]
    assert pipeline.database.enrollments["acme", "e-1"].contact_id == "ann"


async def test_a_long_transfer_delays_neither_other_transfers_nor_other_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = InMemoryPipeline()
    pipeline.configure()
    adopt, is_long = pipeline.store.adopt, True

    async def adopt_page(lease: SlotLease, transfer: Transfer, rename: RenameContact) -> bool:
        if transfer.contact_id == "ann" and is_long:
            await asyncio.sleep(0)
            return True  # after another page
        return await adopt(lease, transfer, rename)

    monkeypatch.setattr(pipeline.store, "adopt", adopt_page)
    shard = pipeline.shard()
    running = asyncio.ensure_future(shard.run())
    await pipeline.until(lambda: shard.ready)
    for enrollment, contact, into in (("e-1", "ann", "bea"), ("e-2", "dora", "cleo")):
        await pipeline.enroll(enrollment, contact)
        await merge(pipeline, contact, into)
    ((_, events, _),) = _native.Router(bytes(256)).route(pipeline.streams.entries(STREAM)).buffers
    async with asyncio.timeout(10):
        _, ((_, requests),) = await shard.process([ShardBatch(STREAM, 1, 0, 0, events)])
        long, other = (
            asyncio.ensure_future(
                shard.process([ShardBatch(STREAM, 1, number, 1, request.buffer, origin=Origin())])
            )
            for number, request in enumerate(requests, 1)
        )
        await other
        assert pipeline.database.enrollments["acme", "e-2"].contact_id == "cleo"
        assert not long.done()
        is_long = False
        await long
    assert pipeline.database.enrollments["acme", "e-1"].contact_id == "bea"
    shard.stop()
    await running
