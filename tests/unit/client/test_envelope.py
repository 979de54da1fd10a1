"""The envelope of an event: what is accepted, and how it is encoded."""

import json
from decimal import Decimal
from typing import Any

import pytest

from goald.client import event
from goald.client.envelope import Format, decode, encode


def payment(amount: Any) -> dict[str, Any]:
    return event("payment.completed", "acme", "c-1", {"amount": amount}, id="e-1")


@pytest.mark.parametrize("form", ["json", "msgpack"])
@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("149.90", "149.90"),
        ("0.10", "0.10"),
        ("-5.00", "-5.00"),
        ("123456789012345.123", "123456789012345.123"),
        ("1E+3", "1000"),
        ("1E-7", "0.0000001"),
    ],
)
def test_a_decimal_is_sent_as_exact_decimal_text(form: Format, amount: str, text: str) -> None:
    sent = decode(encode(payment(Decimal(amount)), form))
    assert sent["data"]["amount"] == text


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1E+1000000000", "1E-1000000000"])
def test_a_decimal_that_goald_cannot_read_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        encode(payment(Decimal(amount)), "json")


def test_other_values_that_json_cannot_express_are_refused() -> None:
    for value in ({1, 2}, float("nan")):
        with pytest.raises(ValueError, match="JSON"):
            encode(payment(value), "json")


@pytest.mark.parametrize("payload", [b"", b"\xff", b"[1]", b"{", b"\x93\x01\x02\x03", b"7"])
def test_what_is_not_an_event_is_not_decoded(payload: bytes) -> None:
    with pytest.raises(ValueError, match="not an event"):
        decode(payload)


@pytest.mark.parametrize(
    "changes",
    [{"tenantid": ""}, {"id": 7.5}, {"data": {}}, {"tenantid": "a\x00b"}, {"tenantid": "x" * 257}],
)
def test_an_event_without_what_every_event_needs_is_refused(changes: dict[str, Any]) -> None:
    from goald.client.envelope import contact_key

    with pytest.raises(ValueError, match=r"is missing|must be|contains"):
        contact_key({**payment("1"), **changes})


def test_an_event_is_sent_as_utf_8() -> None:
    payload = encode(event("form.submitted", "acme", "ü", {"form_id": "f"}), "json")
    assert "ü".encode() in payload
    assert json.loads(payload)["data"] == {"contact_id": "ü", "form_id": "f"}
