"""The lines of a file of events."""

import io
import json
from typing import Any

import pytest

from goald.operations.replay.event_file import BadLine, EventLine, Line
from goald.operations.replay.event_file import read as read_file


def line(tenant: object = "acme", contact: object = "c-1", **more: Any) -> bytes:
    return json.dumps({"tenantid": tenant, "data": {"contact_id": contact}, **more}).encode()


def read(content: bytes, from_line: int = 1) -> list[Line]:
    return list(read_file(io.BytesIO(content), from_line))


def test_an_event_is_sent_as_it_is_in_the_file() -> None:
    payload = b'{"data":{"contact_id":"c","amount":1.10},"tenantid":"t", "x": NaN}'
    [found] = read(payload + b"\r\n")
    assert found == EventLine(1, len(payload) + 2, "t", "c", payload)


def test_empty_lines_are_skipped_and_the_last_line_needs_no_newline() -> None:
    found = read(b"\n" + line() + b"\n  \n" + line("beta"))
    assert [(each.number, type(each)) for each in found] == [(2, EventLine), (4, EventLine)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"data": {"contact_id": "c"}}', "tenantid is missing"),
        (line(tenant=7.5), "tenantid is missing or is neither text nor an integer"),
        (line(contact=None), "data.contact_id is missing"),
        (b'{"tenantid": "t", "data": 1}', "data.contact_id is missing"),
        (b'{"tenantid": "t", "data": {"contact_id": "\\ud800"}}', "surrogate"),
        (b"\xff\xfe", "the file is UTF-16"),
        (b"\xff", "not UTF-8"),
        (line().decode().encode("utf-16-be"), "not JSON"),
    ],
)
def test_a_line_without_tenant_or_contact_is_bad_and_says_why(content: bytes, reason: str) -> None:
    bad, good = read(content + b"\n" + line())
    assert isinstance(bad, BadLine)
    assert bad.number == 1
    assert reason in bad.reason
    assert isinstance(good, EventLine)


def test_a_line_of_many_megabytes_is_one_bad_line() -> None:
    found = read(line() + b"\n" + b"x" * (3 << 20) + b"\n" + line())
    assert [type(each) for each in found] == [EventLine, BadLine, EventLine]
    assert [each.number for each in found] == [1, 2, 3]


def test_reading_starts_at_a_line() -> None:
    content = b"\n".join(line(contact=f"c-{number}") for number in range(1, 6))
    assert [each.number for each in read(content, from_line=4)] == [4, 5]


def test_a_byte_order_mark_is_not_part_of_the_first_event() -> None:
    content = b"\xef\xbb\xbf" + line() + b"\n" + line()
    first, second = read(content)
    assert isinstance(first, EventLine)
    assert isinstance(second, EventLine)
    assert (first.payload, second.payload) == (line(), line())
    assert second.end == len(content)


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("marked", [True, False])
def test_no_line_of_a_file_in_another_encoding_is_sent(encoding: str, marked: bool) -> None:
    text = "\n".join(line(contact=f"c-{n}").decode() for n in range(3))
    mark = "\ufeff" if marked and encoding[-2:] in ("le", "be") else ""
    found = read((mark + text).encode(encoding))
    assert found
    assert all(isinstance(each, BadLine) for each in found)
    if marked or mark:
        assert isinstance(found[0], BadLine)
        assert found[0].reason == f"the file is {encoding[:6].upper()}: save it as UTF-8"
