"""What the commands read: words of `goald send`, lines of `goald replay`."""

import asyncio
import io
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from goald.cli.input import event_file as event_lines
from goald.cli.input import fields
from goald.cli.input.batches import MOST, Batches
from goald.cli.input.event_file import BadLine, EventLine


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("pending_actions=3", {"pending_actions": 3}),
        ("amount=-5", {"amount": -5}),
        ("amount=100.00", {"amount": "100.00"}),
        ("amount=123456789012345.123", {"amount": "123456789012345.123"}),
        ("amount=1e3", {"amount": "1e3"}),
        ("code=007", {"code": "007"}),
        ("flag=true", {"flag": True}),
        ("flag=null", {"flag": None}),
        ("product_id=42", {"product_id": "42"}),
        ("tag_name=true", {"tag_name": "true"}),
        ("tag_name=", {"tag_name": ""}),
        ("note=a=b c", {"note": "a=b c"}),
        ('line_items:=[{"product_id": "p"}]', {"line_items": [{"product_id": "p"}]}),
        ("amount:=12", {"amount": 12}),
    ],
)
def test_a_word_means_what_it_looks_like(word: str, expected: dict[str, Any]) -> None:
    assert fields.parse([word]) == expected


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["tag_name"], "not of the form key=value"),
        (["=x"], "not of the form key=value"),
        (["a=1", "a=2"], "a is given twice"),
        (["a:=[1"], "is not JSON"),
        (["contact_id=c"], "--contact"),
    ],
)
def test_a_wrong_word_is_named(words: list[str], complaint: str) -> None:
    with pytest.raises(typer.BadParameter, match=complaint):
        fields.parse(words)


def line(tenant: object = "acme", contact: object = "c-1", **more: Any) -> bytes:
    return json.dumps({"tenantid": tenant, "data": {"contact_id": contact}, **more}).encode()


def read(content: bytes, from_line: int = 1) -> list[event_lines.Line]:
    return list(event_lines.read(io.BytesIO(content), from_line))


def test_an_event_is_sent_as_it_is_in_the_file() -> None:
    payload = b'{"data":{"contact_id":"c","amount":1.10},"tenantid":"t", "x": NaN}'
    [found] = read(payload + b"\r\n")
    assert found == EventLine(1, len(payload) + 2, "t", "c", payload)


def test_empty_lines_are_passed_over_and_the_last_needs_no_end() -> None:
    found = read(b"\n" + line() + b"\n  \n" + line("beta"))
    assert [(each.number, type(each)) for each in found] == [(2, EventLine), (4, EventLine)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"data": {"contact_id": "c"}}', "tenantid is missing"),
        (line(tenant=7), "tenantid is missing, or is not text"),
        (line(contact=None), "data.contact_id is missing"),
        (b'{"tenantid": "t", "data": 1}', "data.contact_id is missing"),
        (b'{"tenantid": "t", "data": {"contact_id": "\\ud800"}}', "surrogate"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_a_line_that_belongs_to_no_stream_says_why(content: bytes, reason: str) -> None:
    bad, good = read(content + b"\n" + line())
    assert isinstance(bad, BadLine)
    assert bad.number == 1
    assert reason in bad.reason
    assert isinstance(good, EventLine)


def test_a_line_of_many_megabytes_is_one_bad_line() -> None:
    found = read(line() + b"\n" + b"x" * (3 << 20) + b"\n" + line())
    assert [type(each) for each in found] == [EventLine, BadLine, EventLine]
    assert [each.number for each in found] == [1, 2, 3]


def test_reading_goes_on_from_a_line() -> None:
    content = b"\n".join(line(contact=f"c-{number}") for number in range(1, 6))
    assert [each.number for each in read(content, from_line=4)] == [4, 5]


async def test_batches_hold_everything_in_order() -> None:
    found = [number async for batch in Batches(iter(range(20_000))) for number in batch]
    assert found == list(range(20_000))


async def test_a_slow_source_is_handed_on_before_a_batch_is_full() -> None:
    more = threading.Event()

    def slow() -> Iterator[int]:
        yield 1
        more.wait(30)
        yield 2

    batches = aiter(Batches(slow()))
    assert await asyncio.wait_for(anext(batches), 30) == [1]
    more.set()
    assert await asyncio.wait_for(anext(batches), 30) == [2]


async def test_no_more_is_read_ahead_than_may_be() -> None:
    read_so_far = 0

    def source() -> Iterator[int]:
        nonlocal read_so_far
        for number in range(10 * MOST):
            read_so_far = number + 1
            yield number

    first = True
    async for batch in Batches(source()):
        if first:
            assert read_so_far <= len(batch) + MOST + 1
        first = False


async def test_what_the_source_raises_arrives_after_what_came_before() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    found: list[int] = []

    async def take_all() -> None:
        async for batch in Batches(broken()):
            found.extend(batch)

    with pytest.raises(OSError, match="the disk is gone"):
        await take_all()
    assert found == [1]
