"""The events that are delivered again after a merge (E21) are limited for each contact."""

import json
from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry

from goald import _native
from goald.adapters.clock import SystemClock
from goald.adapters.memory.clock import ManualClock
from goald.adapters.memory.streams import MemoryEventHistory, MemoryStreams
from goald.client import event
from goald.domain.slots import slot_of
from goald.metrics.pipeline import ConsumerMetrics
from goald.pipeline.context import ConsumerContext, PipelineContext
from goald.pipeline.ingest import redelivery
from goald.pipeline.ingest.redelivery import Moved, Redelivery
from goald.redis_keys import event_stream

STREAM = event_stream(0)


class History:
    """A stream with an event of one contact each second."""

    def __init__(self) -> None:
        self.clock = ManualClock(SystemClock().now_us())
        self.streams = MemoryStreams(self.clock)
        self.registry = CollectorRegistry()
        context: ConsumerContext = PipelineContext.create(
            self.clock, ConsumerMetrics(self.registry)
        )
        history = MemoryEventHistory(self.streams, [STREAM])
        self._redelivery = Redelivery(context, history, 1 << 20)

    async def add(self, *contacts: str) -> list[bytes]:
        ids = []
        for contact in contacts:
            body = json.dumps(event("contact.tag.added", "acme", contact, {"tag_id": "t"}))
            ids.append(await self.streams.add(STREAM, [b"event", body.encode()]))
            await self.clock.advance(1.0)
        return ids

    async def found(self, *merged: tuple[str, bytes]) -> list[tuple[str, bytes]]:
        """(contact, entry id) of the events that are delivered again. `merged`: contacts, and the
        entry from which on."""
        last = self.streams.entries(STREAM)[-1][0]
        moved: Sequence[Moved] = [
            Moved("acme", contact, slot_of("acme", contact), _ms(since), {STREAM: last})
            for contact, since in merged
        ]
        return [
            (_native.contact_of(body)[1], entry_id)
            async for page in self._redelivery.pages(moved)
            for forwarded in page
            for entry_id, body in _native.buffer_entries(forwarded.buffer)
        ]

    def measured(self, name: str) -> float | None:
        return self.registry.get_sample_value(name)


def _ms(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])


@pytest.fixture
def history() -> History:
    return History()


async def test_each_contact_has_a_separate_limit(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page has one entry here, which uses all bytes of a contact."""
    monkeypatch.setattr(redelivery, "FIRST_ENTRIES", 1)
    monkeypatch.setattr(redelivery, "PAGE_BYTES", 1)
    monkeypatch.setattr(redelivery, "MOST_BYTES", 1)
    first, second, third, _ = await history.add("bea", "bea", "cleo", "cleo")
    assert await history.found(("bea", first), ("cleo", third)) == [("bea", first), ("cleo", third)]
    assert history.measured("goald_redelivery_stopped_total") == 2
    assert await history.found(("bea", second)) == [("bea", second)]
    assert history.measured("goald_redelivery_removed_total") == 0


async def test_a_contact_whose_events_are_all_found_is_not_counted(history: History) -> None:
    first, second = await history.add("bea", "bea")
    assert await history.found(("bea", first)) == [("bea", first), ("bea", second)]
    assert history.measured("goald_redelivery_stopped_total") == 0


async def test_contacts_whose_events_were_removed_are_counted(history: History) -> None:
    first, second, third = await history.add("bea", "bea", "bea")
    for removed in (first, second):
        history.streams.delete(STREAM, removed)
    assert await history.found(("bea", first), ("cleo", third)) == [("bea", third)]
    assert history.measured("goald_redelivery_removed_total") == 1
