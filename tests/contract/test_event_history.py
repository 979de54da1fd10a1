"""`ports.EventHistory`: past entries of the event streams (E21)."""

import pytest
from tests.contract.stream_backends import Backend

from goald.domain.errors import ServiceUnavailable
from goald.domain.leases import StreamLease

STREAM = "goald:events:0"
OF_SLOT = 0


async def test_the_entries_of_a_slot_are_read_in_pages(backend: Backend) -> None:
    history = backend.history()
    stream = await history.stream_of(OF_SLOT)
    assert stream == STREAM
    added = await backend.add(stream, [b"e%d" % n for n in range(5)])
    first = await history.read(stream, b"0-0", 3)
    second = await history.read(stream, first[-1][0], 3)
    assert [entry_id for entry_id, _ in [*first, *second]] == added
    assert await history.read(stream, added[-1], 3) == []


async def test_the_acknowledged_position_is_known_without_a_lease(backend: Backend) -> None:
    history, stream = backend.history(), backend.event_stream(STREAM)
    assert await history.acknowledged(STREAM) == b"0-0"
    added = await backend.add(STREAM, [b"e0", b"e1"])
    await stream.fence(StreamLease(STREAM, 1, "holder"))
    await stream.acknowledge(added[0], 1)
    assert await history.acknowledged(STREAM) == added[0]


async def test_removed_entries_are_known(backend: Backend) -> None:
    """Redis 6.2 does not know them."""
    history = backend.history()
    assert await history.removed(STREAM) == b"0-0"
    added = await backend.add(STREAM, [b"e%d" % n for n in range(4)])
    assert await history.removed(STREAM) == b"0-0"
    for deleted, expected in ((0, 0), (2, 1), (1, 2), (3, 3)):
        await backend.delete(STREAM, added[deleted])
        known = added[expected] if backend.countable(1) else b"0-0"
        assert await history.removed(STREAM) == known


async def test_an_error_is_no_empty_history(backend: Backend) -> None:
    history = backend.history()
    await backend.break_stream(STREAM)
    with pytest.raises(ServiceUnavailable):
        await history.acknowledged(STREAM)
    with pytest.raises(ServiceUnavailable):
        await history.read(STREAM, b"0-0", 3)
