"""Amounts are exact, and minor units follow the currency and the provider's exceptions."""

import json
from decimal import Decimal
from typing import Any

import pytest
from tests.support.sources.payloads import delivery

from goald.sources.compiled import compile_source
from goald.sources.expressions.numbers import amount_text, decimal_of
from goald.sources.mapping.currencies import exponent_of
from goald.sources.mapping.results import MappingResult


def paid(amount: str, currency: str | None, **document: Any) -> MappingResult:
    """The result of a payment; `amount` is JSON text."""
    rule = {
        "when": "`true`",
        "type": "payment.completed",
        "amount": "body.amount",
        "currency": "body.currency",
    }
    source = compile_source("custom", {"events": {"paid": rule}} | document)
    body = f'{{"amount": {amount}, "currency": {json.dumps(currency)}}}'
    return source.map(delivery(body.encode()), "d-1")


@pytest.mark.parametrize(
    ("minor", "currency", "amount"),
    [
        ("2000", "usd", "20.00"),
        ("1", "EUR", "0.01"),
        ("500", "JPY", "500"),
        ("500", "jpy", "500"),
        ("12345", "CLP", "12345"),
        ("1234", "KWD", "1.234"),
        ("1234", "bhd", "1.234"),
        ("10000", "CLF", "1.0000"),
        ("2000", "HUF", "20.00"),
        ("1500", "ISK", "1500"),
        ("1500", "UGX", "1500"),
        ("500", "MGA", "5.00"),
        ("99", " eur ", "0.99"),
        ('"4900"', "EUR", "49.00"),
        ("0", "EUR", "0.00"),
        ("-500", "EUR", "-5.00"),
        ("999999999999999999", "EUR", "9999999999999999.99"),
        ("1999", "HRK", "19.99"),
    ],
)
def test_minor_units_by_iso_4217(minor: str, currency: str, amount: str) -> None:
    (event,) = paid(minor, currency, money={"minor_units": True}).events
    assert event.data == {"amount": amount, "currency": currency.strip().upper()} or (
        amount == "0.00" and event.data["amount"] == "0"
    )


@pytest.mark.parametrize(
    ("minor", "currency", "amount"),
    [
        ("5000", "jpy", "5000"),
        ("5000", "mga", "5000"),
        ("150000", "isk", "1500.00"),
        ("150000", "ugx", "1500.00"),
        ("1230", "kwd", "1.230"),
        ("2000", "huf", "20.00"),
        ("2000", "twd", "20.00"),
        ("5000", "xof", "5000"),
    ],
)
def test_stripes_minor_units_differ_from_iso_4217(minor: str, currency: str, amount: str) -> None:
    session = {
        "object": "checkout.session",
        "id": "cs_1",
        "mode": "payment",
        "payment_status": "paid",
        "amount_total": int(minor),
        "currency": currency,
    }
    body = {
        "object": "event",
        "type": "checkout.session.completed",
        "livemode": True,
        "created": 1,
        "data": {"object": session},
    }
    result = compile_source("stripe", {}).map(delivery(json.dumps(body).encode()), "d-1")
    assert result.events[0].data["amount"] == amount


@pytest.mark.parametrize("currency", [None, "XAU", "ZZZ", "dollars"])
def test_minor_units_of_an_unknown_currency_are_no_payment(currency: str | None) -> None:
    result = paid("500", currency, money={"minor_units": True})
    assert result.events == ()
    assert "minor units" in result.notes[0]


def test_a_document_may_set_exponents_and_a_currency() -> None:
    money = {"minor_units": True, "exponents": {"ZZZ": 1}, "currency": "EUR"}
    assert paid("55", "ZZZ", money=money).events[0].data["amount"] == "5.5"
    assert paid("55", None, money=money).events[0].data == {"amount": "0.55", "currency": "EUR"}


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("19.90", "19.90"),
        ("0.1", "0.1"),
        ("123456789012345.678", "123456789012345.678"),
        ('"58.90"', "58.90"),
        ('" 12 "', "12"),
        ("1e2", "100"),
        ('"1E+2"', "100"),
        ("100.00", "100.00"),
        ("1.10000000000000000000", "1.1"),
    ],
)
def test_no_digit_of_an_amount_is_lost(amount: str, text: str) -> None:
    assert paid(amount, "EUR").events[0].data["amount"] == text


@pytest.mark.parametrize(
    "amount", ['"n/a"', "true", "[]", "{}", '"1,000.00"', '"12€"', "1234567890123456789", '""']
)
def test_an_amount_that_cannot_be_read_is_no_payment(amount: str) -> None:
    result = paid(amount, "EUR")
    assert result.events == ()
    assert "amount" in result.notes[0]


def test_a_payment_without_an_amount_has_none() -> None:
    (event,) = paid("null", "EUR").events
    assert event.data == {"currency": "EUR"}


def test_sums_and_products_are_exact() -> None:
    rule = {
        "when": "`true`",
        "type": "payment.completed",
        "amount": "subtract(multiply(sum(body), `3`), '0.05')",
    }
    source = compile_source("custom", {"events": {"paid": rule}})
    body = b'[0.1, "0.2", 99999999999999.7]'
    (event,) = source.map(delivery(body), "d-1").events
    assert event.data["amount"] == "299999999999999.95"


def test_decimals_are_read_from_numbers_and_text_only() -> None:
    assert decimal_of("19.90") == Decimal("19.90")
    assert decimal_of(True) is None
    assert decimal_of(1.5) is None, "a float has lost digits already"
    assert decimal_of("1e999") is None
    assert amount_text(Decimal("-0")) == "0"


def test_the_exponents_are_those_of_iso_4217() -> None:
    iso4217 = pytest.importorskip("iso4217")
    ours = {each.code: exponent_of(each.code) for each in iso4217.Currency}
    assert ours == {each.code: each.exponent for each in iso4217.Currency}
