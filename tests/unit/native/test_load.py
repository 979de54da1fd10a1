"""Loading enrollments from Postgres's binary COPY format, and evicting them."""

import uuid

import pytest
from tests.support.pipeline.dict_store import COPY_HEADER, COPY_TRAILER, copy_row

from goald import _native

GOALS = ["11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"]


def stream(count: int) -> bytes:
    """Ids of every kind: UUIDs, short names, long names, and names that are not ASCII."""
    rows = []
    for number in range(count):
        names = (str(uuid.UUID(int=number << 64, version=4)), f"e-{number}", "é" * 60 + f"{number}")
        name = names[number % 3]
        rows.append(copy_row("acme", name, f"c-{name}", "w-1", number, GOALS[: number % 3]))
    return COPY_HEADER + b"".join(rows) + COPY_TRAILER


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_a_stream_can_be_loaded_in_chunks_of_any_size(size: int) -> None:
    matcher, whole = _native.Matcher(), stream(60)
    taken = 0
    for start in range(0, len(whole), size):
        assert not matcher.load_ended()
        taken += matcher.load(whole[start : start + size])
    assert matcher.load_ended()
    assert taken == matcher.stats()["enrollments"] == 60


def test_a_stream_that_is_loaded_twice_holds_each_enrollment_once() -> None:
    matcher = _native.Matcher()
    assert matcher.load(stream(60)) == matcher.load(stream(60)) == 60
    assert matcher.stats()["enrollments"] == 60


def test_a_truncated_stream_is_detected_and_another_can_be_loaded() -> None:
    matcher = _native.Matcher()
    matcher.load(stream(60)[:-1])
    assert not matcher.load_ended()
    assert matcher.load(stream(3)) == 3
    assert matcher.load_ended()


def test_evicted_contacts_free_their_memory() -> None:
    matcher = _native.Matcher()
    contacts = [("acme", f"a contact with a long name {n}") for n in range(300)]
    rows = [
        copy_row(tenant, f"an enrollment of {contact}, {n}", contact, f"w-{n}", 0, GOALS)
        for tenant, contact in contacts
        for n in range(2)
    ]
    empty = matcher.stats()
    sizes = []
    for _ in range(20):
        matcher.load(COPY_HEADER + b"".join(rows) + COPY_TRAILER)
        sizes.append(matcher.stats()["bytes"])
        matcher.evict([*contacts, ("acme", "never seen"), ("nobody", "c-1")])
        assert {**matcher.stats(), "bytes": 0} == {**empty, "bytes": 0}
    assert sizes[-1] == sizes[1]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"PGCOPX", "signature"),
        (b"tenant_id,enrollment_id\n", "signature"),
        (b"PGCOPY\n\xff\r\n\0" + b"\0\1\0\0" + bytes(4), "flags"),
        (COPY_HEADER + b"\0\5", "5 columns"),
        (COPY_HEADER + b"\0\10\xff\xff\xff\xff", "tenant_id is null"),
        (COPY_HEADER + b"\0\10" + b"\0\0\0\1\xff" * 4 + b"\0\0\0\4abcd" + bytes(12), "bigint"),
        (COPY_HEADER + COPY_TRAILER + b"x", "after the trailer"),
        (COPY_HEADER + copy_row("acme", "e-1", "c-1", "w-1", 0, ["g-1"]), "invalid goal id"),
    ],
)
def test_another_format_is_refused_and_another_stream_can_be_loaded(
    bad: bytes, message: str
) -> None:
    matcher = _native.Matcher()
    with pytest.raises(ValueError, match=message):
        matcher.load(bad)
    assert not matcher.load_ended()
    assert matcher.load(stream(3)) == 3
