"""The router through its binding: buffers for shards, and entries that no shard can process."""

import json
import zlib

import pytest

from goald import _native


def event(contact: str) -> bytes:
    return json.dumps({"tenantid": "acme", "data": {"contact_id": contact}}).encode()


def test_a_slot_is_the_crc_that_any_language_computes() -> None:
    for contact in ("c-1", "é", "0190a6b4-7c3e-7def-8123-456789abcdef"):
        expected = zlib.crc32(f"acme\x1f{contact}".encode()) % _native.SLOTS
        assert _native.slot_of("acme", contact) == expected


def test_each_entry_goes_to_the_shard_of_its_slot() -> None:
    shards = bytes(slot // 128 for slot in range(256))
    contacts = [f"c-{n}" for n in range(100)]
    entries = [[f"{n}-0".encode(), [b"event", event(c)]] for n, c in enumerate(contacts)]
    routed = _native.Router(shards).route(entries)
    counts = {shard: count for shard, _, count in routed.buffers}
    for shard in (0, 1):
        expected = [c for c in contacts if shards[_native.slot_of("acme", c)] == shard]
        assert counts[shard] == len(expected) > 0
        [buffer] = [buffer for to, buffer, _ in routed.buffers if to == shard]
        routed_contacts = _native.Matcher().contacts_of([buffer])
        assert sorted(routed_contacts) == sorted(("acme", contact) for contact in expected)


def test_a_buffer_is_full_before_the_next_begins() -> None:
    entries = [[f"{n}-0".encode(), [b"event", event(f"c-{n}")]] for n in range(100)]
    routed = _native.Router(bytes(256), max_buffer=1_000).route(entries)
    assert len(routed.buffers) > 1
    assert all(len(buffer) <= 1_000 for _, buffer, _ in routed.buffers)
    assert sum(count for _, _, count in routed.buffers) == 100


def test_entries_that_cannot_be_routed_are_returned_with_a_reason() -> None:
    entries = [
        (b"2-0", [b"other", b"value"]),
        (b"3-0", [b"event", b"\xc1"]),
        (b"4-0", (b"note", b"x", b"event", event("c-1"))),
    ]
    routed = _native.Router(bytes(256)).route(entries)
    assert {(entry, raw) for entry, _, raw in routed.rejects} == {(b"2-0", b""), (b"3-0", b"\xc1")}
    assert all(reason for _, reason, _ in routed.rejects)
    assert [count for _, _, count in routed.buffers] == [1]


@pytest.mark.parametrize(
    "entries",
    [
        5,
        [5],
        [[b"1-0"]],
        [[b"1-0", [b"event"]]],
        [[b"1-0", None]],
        [["1-0", []]],
        [[b"1-0", ["a", "b"]]],
    ],
)
def test_another_shape_is_a_type_error(entries: list[object]) -> None:
    with pytest.raises(TypeError):
        _native.Router(bytes(256)).route(entries)


def test_a_router_needs_the_shard_of_every_slot() -> None:
    with pytest.raises(ValueError, match="256"):
        _native.Router(bytes(255))
