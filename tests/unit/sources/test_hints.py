"""The author of a document learns which of its parts find nothing."""

from typing import Any

import pytest
from tests.support.sources.payloads import delivery

from goald.sources.compiled import Source, compile_source
from goald.sources.documents.presets import preset, preset_names

PAID = {"when": "body.paid", "type": "payment.completed"}


def custom(**document: Any) -> Source:
    return compile_source("custom", document)


def notes(rule: dict[str, Any], body: bytes, **document: Any) -> tuple[str, ...]:
    """The notes of a test of a payload."""
    source = custom(events={"paid": PAID | rule}, **document)
    return source.map(delivery(body), "d", hints=True).notes


@pytest.mark.parametrize("name", preset_names())
def test_every_name_in_a_preset_is_known(name: str) -> None:
    needed = {key: "x" for key, value in preset(name).get("parameters", {}).items() if not value}
    events = {} if preset(name).get("events") else {"events": {"paid": PAID}}
    assert compile_source(name, {"parameters": needed} | events).notes == ()


@pytest.mark.parametrize(
    ("rule", "place", "hint"),
    [
        ({"currency": "EUR"}, "events.paid.currency", "'EUR'"),
        ({"currency": '"EUR"'}, "events.paid.currency", "'EUR'"),
        ({"amount": "boddy.total"}, "events.paid.amount", "Did you mean body?"),
        ({"id": ["body.id", "ordr.id"]}, "events.paid.id.1", "Did you mean order?"),
        ({"data": {"form_id": "body.a || signup"}}, "events.paid.data.form_id", "'signup'"),
        ({"contact": {"email": "max_by(mails, &age)"}}, "events.paid.contact.email", "'mails'"),
        ({"line_items": {"each": "items[?a].b", "product_id": "entry.sku"}},
         "events.paid.line_items.each", "Did you mean item?"),
    ],
)  # fmt: skip
def test_a_name_that_no_delivery_has_is_noted_with_its_place(
    rule: dict[str, Any], place: str, hint: str
) -> None:
    (note,) = custom(let={"order": "body.order"}, events={"paid": PAID | rule}).notes
    assert note.startswith(f"{place}: ")
    assert hint in note


@pytest.mark.parametrize(
    "expression",
    [
        "body.a.b",
        "body | a",
        "body.lines[].price",
        "body.lines[?type=='x' && price].name",
        "body.*.name",
        "sum(map(&price, body.lines))",
        "body.a.[b, c]",
        "{a: order.b, c: item.d} | a",
        "headers.\"x-topic\" == 'paid'",
        "order.total || entry.total || parameters.x || digest || method || query.q",
    ],
)
def test_members_of_what_an_expression_found_are_not_taken_for_names(expression: str) -> None:
    rule = PAID | {"data": {"name": expression}}
    assert custom(let={"order": "body.order"}, events={"paid": rule}).notes == ()


def test_a_name_in_let_is_known_only_to_the_expressions_after_it() -> None:
    let = {"total": "order.total", "order": "body.order", "paid": "order.paid"}
    (note,) = custom(let=let, events={"paid": PAID}).notes
    assert note.startswith("let.total: `order` is unknown")


@pytest.mark.parametrize(
    ("rule", "note"),
    [
        ({"amount": "body.totl"}, "events.paid.amount leads nowhere"),
        ({"currency": "body.curency"}, "events.paid.currency leads nowhere"),
        ({"time": "body.tiem"}, "events.paid.time leads nowhere"),
        ({"line_items": {"each": "body.linse", "product_id": "entry.sku"}},
         "events.paid.line_items.each leads nowhere"),
        ({"line_items": {"each": "body.order", "product_id": "entry.sku"}},
         "events.paid.line_items.each is not a list"),
        ({"line_items": {"each": "body.lines", "product_id": "entry.skuu"}},
         "events.paid.line_items.product_id leads nowhere"),
        ({"line_items": {"each": "body.lines", "product_id": "entry.sku", "amount": "entry.b"}},
         "events.paid.line_items.amount leads nowhere"),
    ],
)  # fmt: skip
def test_a_path_that_leads_nowhere_in_a_tested_payload_is_noted(
    rule: dict[str, Any], note: str
) -> None:
    body = b'{"paid": true, "order": {}, "lines": [{"sku": "a"}, {"sku": "b", "b": null}]}'
    (found,) = notes(rule, body)
    assert found.startswith(note)


def test_a_path_of_the_whole_document_is_noted_once_for_all_rules() -> None:
    events = {"one": PAID, "two": PAID}
    mapped = custom(events=events, time="body.at").map(delivery(b'{"paid": 1}'), "d", hints=True)
    assert [note.partition(" leads")[0] for note in mapped.notes] == ["time"]


def test_events_that_are_no_payments_need_no_amount() -> None:
    body = b'{"type": "form.submitted", "data": {"contact_id": "c-1"}}'
    source = compile_source("standard_webhooks", {})
    result = source.map(delivery(body, {"webhook-id": "msg_1"}), "d", hints=True)
    assert (len(result.events), result.notes) == (
        1,
        ("time leads nowhere in this delivery: the time of arrival counts",),
    )


def test_paths_that_lead_somewhere_and_deliveries_that_are_no_test_have_no_notes() -> None:
    lines = {"each": "body.lines", "product_id": "entry.sku", "amount": "entry.price"}
    rule = {"amount": "body.total", "currency": "body.currency", "line_items": lines}
    complete = (
        b'{"paid": true, "total": "19.90", "currency": "eur", "at": "2026-11-27T10:00:00Z",'
        b' "lines": [{"sku": "a", "price": 1}, {"sku": "b"}]}'
    )
    assert notes(rule, complete, time="body.at") == ()
    source = custom(events={"paid": PAID | rule}, time="body.at")
    assert source.map(delivery(b'{"paid": true, "total": 5}'), "d").notes == ()


@pytest.mark.parametrize("body", [b'{"paid": true}', b'{"paid": true, "total": null}'])
def test_a_payment_without_its_amount_is_noted_in_every_delivery(body: bytes) -> None:
    """It meets goals without `min_amount`, so a misspelt path must not be silent."""
    result = custom(events={"paid": PAID | {"amount": "body.total"}}).map(delivery(body), "d")
    assert [event.type for event in result.events] == ["payment.completed"]
    assert result.notes == (
        "events.paid.amount leads nowhere in this delivery: the payment has none, and meets goals "
        "without `min_amount`",
    )


def test_a_refund_without_its_amount_is_noted_in_every_delivery() -> None:
    rule = {"amount": "body.totl", "type": "payment.refunded"}
    source = custom(events={"back": PAID | rule})
    expected = "events.back.amount leads nowhere in this delivery: the event has none"
    for hints in (False, True):
        result = source.map(delivery(b'{"paid": true, "total": 5}'), "d", hints=hints)
        assert [event.type for event in result.events] == ["payment.refunded"]
        assert expected in result.notes


@pytest.mark.parametrize("rule", [{}, {"currency": "body.currency"}])
def test_other_missing_money_is_noted_only_in_tests(rule: dict[str, Any]) -> None:
    source = custom(events={"paid": PAID | rule})
    assert source.map(delivery(b'{"paid": true}'), "d").notes == ()


def test_json_that_was_read_as_a_form_matches_no_rule_and_is_named() -> None:
    form = {"content-type": "Application/X-WWW-Form-Urlencoded; charset=utf-8"}
    sent = delivery(b'{"paid": true}', form)
    assert custom(events={"paid": PAID}).map(sent, "d").notes == (
        "no rule of this source matches the delivery; the body was read as a form "
        "(Content-Type application/x-www-form-urlencoded)",
    )
    assert len(custom(events={"paid": PAID}, body="json").map(sent, "d").events) == 1
    other = delivery(b"{}", {"content-type": "application/json"})
    assert custom(events={"paid": PAID}).map(other, "d").notes == (
        "no rule of this source matches the delivery",
    )


def test_a_condition_can_require_the_amount() -> None:
    rule = {"when": "body.paid && body.total", "amount": "body.total"}
    source = custom(
        events={"paid": PAID | rule},
        ignore={"free": {"when": "body.paid", "reason": "the order has no total"}},
    )
    absent = source.map(delivery(b'{"paid": true}'), "d")
    assert (absent.events, absent.notes) == ((), ("the order has no total",))
    assert len(source.map(delivery(b'{"paid": true, "total": 0}'), "d").events) == 1
