"""A document's faults are reported together, each with its place, and overrides change a preset."""

from typing import Any

import pytest
from tests.support.sources.payloads import delivery, payload

from goald.domain.errors import InvalidConfiguration, NotFound
from goald.sources.compiled import compile_source
from goald.sources.documents.presets import preset


def faults(overrides: dict[str, Any], name: str = "typeform") -> dict[str, str]:
    with pytest.raises(InvalidConfiguration) as refused:
        compile_source(name, overrides)
    return dict(refused.value.faults)


def test_every_fault_is_reported_with_its_place() -> None:
    found = faults(
        {
            "time_zone": "Mars/Olympus",
            "contact": {"email": "a ||", "id": 7},
            "events": {
                "submission": {"tpye": "form.submitted", "id": ["form.token", "a["]},
                "other": {"when": "frist_email(@)", "type": "payment.complete"},
            },
        }
    )
    assert set(found) == {
        "/time_zone",
        "/contact/email",
        "/contact/id",
        "/events/submission/tpye",
        "/events/submission/id/1",
        "/events/other/when",
        "/events/other/type",
    }
    assert found["/events/submission/tpye"] == "unknown field. Did you mean type?"
    assert "first_email()?" in found["/events/other/when"]
    assert "Did you mean payment.completed?" in found["/events/other/type"]


@pytest.mark.parametrize(
    ("overrides", "place", "suggestion"),
    [
        ({"money": {"minor": True}}, "/money/minor", "minor_units"),
        ({"event": {}}, "/event", "events"),
        ({"contact": {"mail": "a"}}, "/contact/mail", "email"),
        ({"scheme": {"type": "hmac", "header": "X", "encoding": "hex", "prefx": "a"}},
         "/scheme/prefx", "prefix"),
        ({"events": {"submission": {"line_items": {"each": "a", "product_id": "b", "amout": "c"}}}},
         "/events/submission/line_items/amout", "amount"),
        ({"handshake": {"hello": {"type": "reply", "when": "a", "jsn": {}}}},
         "/handshake/hello/jsn", "json"),
    ],
)  # fmt: skip
def test_an_unknown_field_suggests_a_field_of_the_same_level(
    overrides: dict[str, Any], place: str, suggestion: str
) -> None:
    assert faults(overrides)[place] == f"unknown field. Did you mean {suggestion}?"


def test_a_field_of_another_level_is_not_suggested() -> None:
    assert faults({"money": {"ignor": {}}})["/money/ignor"] == "unknown field"


@pytest.mark.parametrize(
    ("overrides", "place"),
    [
        ({"scheme": {"type": "hmac"}}, "/scheme/header"),
        ({"scheme": {"type": "unknown"}}, "/scheme"),
        ({"scheme": {"tolerance_seconds": 5}}, "/scheme/tolerance_seconds"),
        (
            {"events": {"submission": {"type": "workflow.enrollment.ended"}}},
            "/events/submission/type",
        ),
        ({"events": {"Bad name": {"when": "a", "type": "form.submitted"}}}, "/events/Bad name"),
        ({"events": {"submission": {"type_from": "a"}}}, "/events/submission"),
        ({"events": None}, "/events"),
        ({"money": {"exponents": {"usd": 2}}}, "/money/exponents/usd"),
        ({"max_deviation_seconds": 1}, "/max_deviation_seconds"),
        ({"let": {"body": "a"}}, ""),
        ({"parameters": {"needed": None}}, "/parameters/needed"),
    ],
)
def test_an_invalid_document_is_refused(overrides: dict[str, Any], place: str) -> None:
    assert place in faults(overrides)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a" * 2_001, "characters"),
        ("(" * 65 + "a" + ")" * 65, "brackets"),
        ("a" + ".a" * 250, "parts"),
        (" | ".join(["[@, @]"] * 7), "too many lists"),
        ("foo(@)", "unknown function"),
        ("lower(@, @)", "lower() needs 1 argument, has 2"),
        ("multiply(@)", "multiply() needs 2 arguments, has 1"),
        ("map(@, @)", "&"),
        ("!a.b", "write !"),
        ("a[", "is not a JMESPath expression: Incomplete expression, in a["),
        ("a.b % c", ", in a.b % c"),
    ],
)
def test_an_expression_beyond_the_bounds_is_refused_with_the_reason(text: str, fault: str) -> None:
    assert fault in faults({"contact": {"id": text}})["/contact/id"]


def test_a_tenant_must_name_its_location_of_highlevel() -> None:
    assert set(faults({}, "gohighlevel")) == {"/parameters/location_id"}
    assert compile_source("gohighlevel", {"parameters": {"location_id": "L1"}}).document


def test_overrides_change_single_paths_and_null_removes() -> None:
    source = compile_source(
        "typeform",
        {
            "contact": {"id": "form.hidden.user_id", "email": None},
            "events": {
                "submission": {"data": {"score": "form.calculated.score", "form_name": None}}
            },
        },
    )
    (event,) = source.map(delivery(payload("typeform", "form_response.json")), "d-1").events
    assert event.contact.email is None
    assert event.data["score"] == 9
    assert "form_name" not in event.data
    assert "form_name" in preset("typeform")["events"]["submission"]["data"], "the preset changed"


def test_a_scheme_with_a_type_replaces_the_presets_scheme() -> None:
    source = compile_source("stripe", {"scheme": {"type": "none"}})
    assert source.verify(delivery(b"{}"), source.parse_secrets([]), 0).verified


def test_a_custom_source_is_a_document_of_the_tenant() -> None:
    document = {
        "provider": "Our shop",
        "scheme": {"type": "hmac", "header": "X-Shop-Signature", "encoding": "hex"},
        "kind": "body.event",
        "contact": {"email": "body.buyer.mail"},
        "events": {
            "paid": {
                "when": "body.event == 'paid'",
                "type": "payment.completed",
                "id": "body.nr",
                "amount": "body.sum",
                "currency": "'EUR'",
            }
        },
    }
    source = compile_source("custom", document)
    assert source.types == {"payment.completed"}
    body = b'{"event": "paid", "nr": 17, "sum": "9,90", "buyer": {"mail": "a@example.com"}}'
    assert "amount" in source.map(delivery(body), "d-1").notes[0]
    (event,) = source.map(delivery(body.replace(b"9,90", b"9.90")), "d-1").events
    assert (event.id, event.data) == ("17", {"amount": "9.90", "currency": "EUR"})
    refund = source.map(delivery(b'{"event": "refunded"}'), "d-1")
    assert refund.notes == ("refunded means no event to this source",)


def test_an_unknown_preset_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(NotFound, match="Did you mean stripe"):
        compile_source("strpe", {})


def test_overrides_that_are_nested_without_end_are_refused() -> None:
    nested: dict[str, Any] = {}
    for _ in range(2_000):
        nested = {"a": nested}
    with pytest.raises(InvalidConfiguration, match="nested"):
        compile_source("typeform", nested)
