"""Transfers of merged contacts (E21) in the pipeline in memory: which of them wait for others."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from tests.support.pipeline.in_memory_pipeline import STREAM, InMemoryPipeline

from goald import _native
from goald.client import event
from goald.domain.ids import ContactId, TenantId
from goald.domain.leases import SlotLease
from goald.pipeline.shard import adoption
from goald.pipeline.shard.adoption import AdoptionCalls
from goald.pipeline.shard_batch import Origin, Processed, ShardBatch
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


class MergingShard:
    """A shard that commits merges, and then adopts them page by page."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pages: list[str] = []
        """The merged contact of each page."""
        self.long: set[str] = set()
        """The merged contacts that have more pages."""
        self._pipeline = InMemoryPipeline()
        self._adopt = self._pipeline.store.adopt
        self._shard = self._pipeline.shard()
        self._sequence = 0
        monkeypatch.setattr(self._pipeline.store, "adopt", self._adopt_page)

    async def _adopt_page(
        self, lease: SlotLease, transfer: Transfer, rename: RenameContact
    ) -> bool:
        self.pages.append(transfer.contact_id)
        await asyncio.sleep(0)
        return transfer.contact_id in self.long or await self._adopt(lease, transfer, rename)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        running = asyncio.ensure_future(self._shard.run())
        await self._pipeline.until(lambda: self._shard.ready)
        async with asyncio.timeout(10):
            yield
        self._shard.stop()
        await running

    async def merge(self, tenant: str, *contacts: str) -> Sequence[bytes]:
        """Merge each contact into another one. Returns the events that ask for the enrollments."""
        merges = [
            event("contact.merged", tenant, contact, {"into_contact_id": f"{contact}-2"})
            for contact in contacts
        ]
        entries = [
            [b"%d-%d" % (self._pipeline.clock.now_us() // 1_000, number),
             [b"event", json.dumps(each).encode()]]
            for number, each in enumerate(merges)
        ]  # fmt: skip
        ((_, buffer, _),) = _native.Router(bytes(256)).route(entries).buffers
        _, ((_, forwarded),) = await self._process(buffer)
        return [each.buffer for each in forwarded]

    def pass_on(self, buffer: bytes) -> "asyncio.Future[Processed]":
        return asyncio.ensure_future(self._process(buffer, Origin()))

    async def _process(self, buffer: bytes, origin: Origin | None = None) -> Processed:
        batch = ShardBatch(STREAM, 1, self._sequence, 0, buffer, origin=origin)
        self._sequence += 1
        return await self._shard.process([batch])


async def test_a_long_transfer_delays_neither_other_transfers_nor_other_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shard = MergingShard(monkeypatch)
    shard.long.add("ann")
    async with shard.running():
        long, other = [shard.pass_on(each) for each in await shard.merge("acme", "ann", "dora")]
        await other
        assert not long.done()
        shard.long.clear()
        await long


async def test_events_that_are_passed_on_wait_for_no_transfers_behind_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shard = MergingShard(monkeypatch)
    shard.long |= {f"c-{number}" for number in range(40)}
    async with shard.running():
        first, *_ = await shard.merge("acme", "ann", *sorted(shard.long))
        await shard.pass_on(first)
    assert len(shard.pages) < 20


async def test_events_that_are_passed_on_wait_for_no_round_of_the_transfers_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """But each of these has its turn, however many events are passed on."""
    shard = MergingShard(monkeypatch)
    shard.long |= {f"c-{number}" for number in range(40)}
    async with shard.running():
        first, *_ = await shard.merge("acme", *sorted(shard.long))
        shard.pass_on(first)
        for number in range(40):
            before = len(shard.pages)
            (request,) = await shard.merge("globex", f"other-{number}")
            await shard.pass_on(request)
            assert len(shard.pages) - before < 20
        assert shard.long.issubset(shard.pages)
        shard.long.clear()


async def test_events_that_are_passed_on_wait_for_transfers_that_are_read_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One call reads a limited number of them."""
    monkeypatch.setattr(adoption, "MOST_WAITING", 2)
    acme, calls = TenantId("acme"), AdoptionCalls()
    stored = [
        Transfer(contact, acme, ContactId(contact), ContactId(f"{contact}-2"))
        for contact in ("ann", "bea", "cleo")
    ]

    async def read() -> list[Transfer]:
        return stored[:2]

    call = asyncio.ensure_future(calls.adopted([(acme, ContactId("cleo-2"))]))
    await calls.wait()
    while waiting := await calls.begin_round(read):
        done, _ = await asyncio.wait([call], timeout=0)
        assert not done
        stored.remove(waiting[0])
        calls.finish(waiting[0])
    await call
