"""Bodies are decoded exactly, within limits, and nothing unread refuses them."""

from decimal import Decimal

import pytest
from tests.support.sources.payloads import PAYLOADS, delivery, payload

from goald.api.sources.envelopes import encoded
from goald.domain.errors import InvalidEvent
from goald.sources.bodies.cloud_events import read_cloud_events
from goald.sources.bodies.decoding import decode_body
from goald.sources.bodies.forms import MAX_FIELDS, read_form, read_multipart
from goald.sources.bodies.json_text import MAX_BODY, read_json
from goald.sources.delivery import Delivery, headers_by_name

MULTIPART = "multipart/form-data; boundary=b"


def part(name: str, value: str, extra: str = "") -> bytes:
    return (
        f'--b\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n{value}\r\n'.encode()
    )


def test_numbers_keep_all_their_digits() -> None:
    value = read_json(b'{"a": 19.90, "b": 820982911946154508123, "c": 1e2}')
    assert value == {"a": Decimal("19.90"), "b": 820982911946154508123, "c": Decimal("1E+2")}
    assert str(value["a"]) == "19.90"


def test_unread_text_refuses_nothing() -> None:
    assert read_json('{"a": "\\ud83d", "b": NaN, "a": 1}') == {"a": 1, "b": None}
    assert read_json(b'\xef\xbb\xbf{"a": "\xff"}') == {"a": "\ufffd"}


@pytest.mark.parametrize("half", ["\\ud83d", "\\uDE00"])
def test_half_an_emoji_costs_no_delivery(half: str) -> None:
    value = read_json(f'{{"{half}": ["Mug {half}", "\\ud83d\\ude00"]}}')
    assert value == {"\ufffd": ["Mug \ufffd", "\U0001f600"]}
    encoded([{"data": value}])


@pytest.mark.parametrize("body", [b"", b"{", b"[1,]", b"nul", b"[" * 33 + b"]" * 33, b"<xml/>"])
def test_what_is_no_json_is_refused_with_the_reason(body: bytes) -> None:
    with pytest.raises(InvalidEvent, match=r"JSON|levels"):
        read_json(body)


def test_a_body_of_more_than_the_limit_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="bytes"):
        decode_body(delivery(b" " * (MAX_BODY + 1)), "auto")


def test_a_form_keeps_repeated_and_empty_fields() -> None:
    assert read_form(b"a=1&b=%C3%A9+x&a=2&c=") == {"a": ["1", "2"], "b": "é x", "c": ""}
    with pytest.raises(InvalidEvent, match="fields"):
        read_form(b"&".join(b"a=1" for _ in range(MAX_FIELDS + 1)))


def test_a_multipart_form_keeps_its_text_fields_without_files() -> None:
    body = (
        part("a", "1") + part("f", "x", '; filename="f.txt"') + part("b", "é\r\n2") + b"--b--\r\n"
    )
    assert read_multipart(body, MULTIPART) == {"a": "1", "b": "é\r\n2"}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (part("a", "1"), MULTIPART),
        (part("a", "1") + b"--b--\r\n", "multipart/form-data"),
        (b"garbage", MULTIPART),
        (b"", MULTIPART),
        (part("a", "1") * (MAX_FIELDS + 1) + b"--b--\r\n", MULTIPART),
        (b"--b\r\n" + b"X: y\r\n" * 9 + b"\r\nv\r\n--b--\r\n", MULTIPART),
        (b"--b\r\nX: " + b"y" * 5_000 + b"\r\n\r\nv\r\n--b--\r\n", MULTIPART),
    ],
)
def test_a_multipart_body_beyond_its_limits_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(InvalidEvent):
        read_multipart(body, content_type)


def test_jotforms_bodies_are_read_whole() -> None:
    for path in PAYLOADS.glob("jotform/*.multipart"):
        body = payload("jotform", path.name)
        boundary = body.split(b"\r\n")[0][2:].decode()
        form = read_multipart(body, f"multipart/form-data; boundary={boundary}")
        assert len(form) == body.count(b"Content-Disposition"), path.name
        assert isinstance(read_json(form["rawRequest"]), dict), path.name


def binary(**headers: str) -> Delivery:
    values = {name.replace("_", "-"): text for name, text in headers.items()}
    base = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}
    return delivery(b'{"a": 1}', base | values)


def test_headers_of_binary_cloud_events_are_decoded_once() -> None:
    for text, decoded in {
        "Euro%20%E2%82%AC%20%F0%9F%98%80": "Euro € 😀",
        '"a \\"b\\""': 'a "b"',
        "%65": "e",
        "%e2%82%ac": "€",
        "plain": "plain",
        "%2525": "%25",
    }.items():
        assert read_cloud_events(binary(ce_subject=text))[0]["subject"] == decoded
    with pytest.raises(InvalidEvent, match="UTF-8"):
        read_cloud_events(binary(ce_subject="%C0%A0"))


def test_cloud_events_in_another_format_than_json_are_refused() -> None:
    for kind in ("application/cloudevents+avro", "application/cloudevents-batch+xml"):
        with pytest.raises(InvalidEvent, match="as JSON"):
            read_cloud_events(delivery(b"{}", {"Content-Type": kind}))


def test_a_header_that_is_sent_twice_hides_neither_value() -> None:
    headers = headers_by_name([(b"X-Sig", b"a"), (b"x-sig", b"b "), (b"Other", b"\xe9")])
    assert headers == {"x-sig": "a, b", "other": "é"}
