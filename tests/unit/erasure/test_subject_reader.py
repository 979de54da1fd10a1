"""`SubjectReader` finds whose an event is, as far as it can be read."""

import json
from typing import Any

import msgpack
import pytest

from goald.client.envelope import decode
from goald.domain.records.erasure import Subject
from goald.pipeline.subject import SubjectReader

TIME = "2026-03-01T12:00:00+01:00"
TIME_US = 1_772_362_800_000_000
EVENT = {
    "id": "ev-1",
    "source": "/crm",
    "type": "contact.tag.added",
    "time": TIME,
    "tenantid": "acme",
    "data": {"contact_id": "ann", "name": "Ann Example"},
}


def event(**data: Any) -> dict[str, Any]:
    return EVENT | {"data": EVENT["data"] | data}  # type: ignore[operator]


@pytest.fixture
def reader() -> SubjectReader:
    return SubjectReader(decode)


@pytest.mark.parametrize("pack", [lambda it: json.dumps(it).encode(), msgpack.packb])
def test_contact_enrollment_and_time_are_read_from_both_formats(
    reader: SubjectReader, pack: Any
) -> None:
    assert reader.read(pack(EVENT)) == Subject("acme", "ann", None, TIME_US)
    assert reader.read(pack(event(enrollment_id="e-1"))) == Subject("acme", "ann", "e-1", TIME_US)
    notice = event(workflow_enrollment_id="e-1")
    assert reader.read(pack(notice)) == Subject("acme", "ann", "e-1", TIME_US)


@pytest.mark.parametrize("contact", ["", "a" * 257, "a\nb", "erased:1"])
def test_contact_that_no_event_can_delete_is_unknown(reader: SubjectReader, contact: str) -> None:
    """Its dead letters are removed as unreadable ones are: even `contact.deleted` is one."""
    assert reader.read(json.dumps(event(contact_id=contact)).encode()) is None
    assert reader.read(json.dumps(event(contact_id="a" * 128)).encode()) is not None


@pytest.mark.parametrize("cut", range(1, 15))
@pytest.mark.parametrize("pack", [lambda it: json.dumps(it).encode(), msgpack.packb])
def test_contact_of_a_truncated_event_is_found_behind_its_bytes(
    reader: SubjectReader, pack: Any, cut: int
) -> None:
    found = reader.read(pack(EVENT)[:-cut])
    assert found is not None
    assert (found.tenant, found.contact, found.enrollment) == ("acme", "ann", None)


@pytest.mark.parametrize("time", ["yesterday", "2026-03-01T12:00:00", 5, None, [], "9" * 400])
def test_unreadable_time_is_0(reader: SubjectReader, time: Any) -> None:
    assert reader.read(json.dumps(EVENT | {"time": time}).encode()) == Subject("acme", "ann")


@pytest.mark.parametrize("enrollment", [5.5, [], {}, True, None, ""])
def test_enrollment_that_is_no_text_is_none(reader: SubjectReader, enrollment: Any) -> None:
    found = reader.read(json.dumps(event(enrollment_id=enrollment)).encode())
    assert found == Subject("acme", "ann", None, TIME_US)


@pytest.mark.parametrize("pack", [lambda it: json.dumps(it).encode(), msgpack.packb])
def test_ids_that_are_integers_are_read_as_text(reader: SubjectReader, pack: Any) -> None:
    """Otherwise the events of such a contact would outlive its deletion."""
    numbered = EVENT | {"tenantid": 7, "data": {"contact_id": 8, "enrollment_id": 9}}
    assert reader.read(pack(numbered)) == Subject("7", "8", "9", TIME_US)


@pytest.mark.parametrize(
    "unreadable",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        b"\xc1",
        b"5",
        b'"acme"',
        b"[" * 100_000,
        b"\x91" * 100_000,
        b'{"a":' * 100_000,
        json.dumps({"tenantid": "acme"}).encode(),
        json.dumps({"data": {"contact_id": "ann"}}).encode(),
        json.dumps(EVENT | {"data": ["ann"]}).encode(),
        json.dumps(EVENT | {"data": {"contact_id": 5.5}}).encode(),
        json.dumps(EVENT | {"tenantid": None}).encode(),
    ],
)
def test_event_without_a_contact_has_no_subject(reader: SubjectReader, unreadable: bytes) -> None:
    assert reader.read(unreadable) is None


def test_event_that_the_router_rejects_has_the_contact_that_can_be_read(
    reader: SubjectReader,
) -> None:
    """A dead letter may be too deep or too long for the matcher, and still name its contact."""
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    found = reader.read(json.dumps(event(deep=deep)).encode())
    assert found == Subject("acme", "ann", None, TIME_US)
