"""Hostile bodies, headers and expressions are judged within bounds, and nothing is raised."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.sources.payloads import NOW_US, delivery

from goald.domain.errors import InvalidConfiguration, InvalidEvent
from goald.sources.bodies.decoding import decode_body
from goald.sources.compiled import Source, compile_source
from goald.sources.documents.presets import preset_names
from goald.sources.expressions.budget import Budget, BudgetExhausted
from goald.sources.expressions.expression import (
    Expression,
    ExpressionFault,
    compile_expression,
)
from goald.sources.expressions.functions import FUNCTIONS
from goald.sources.mapping.values import MAX_DATA, MAX_ID

OVERRIDES: dict[str, dict[str, Any]] = {
    "gohighlevel": {"parameters": {"location_id": "L1"}},
    "custom": {"events": {"any": {"when": "body", "type": "form.submitted", "data_from": "body"}}},
}
SOURCES: dict[str, Source] = {
    name: compile_source(name, OVERRIDES.get(name, {})) for name in preset_names()
}
MAX_STEPS = 20_000

WORDS = st.sampled_from(
    [
        "id",
        "type",
        "event",
        "data",
        "object",
        "meta",
        "body",
        "amount",
        "currency",
        "email",
        "status",
        "items",
        "tags",
        "payload",
        "resource",
        "customer",
        "line_items",
        "price",
        "quantity",
        "contact_id",
        "checkout.session.completed",
        "orders/paid",
        "paid",
        "payment.completed",
        "FORM_RESPONSE",
        "form_response",
        "invitee.created",
        "EUR",
        "jpy",
        "XXX",
        "19.90",
        "1e400",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | WORDS
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=6) | st.dictionaries(WORDS | st.text(), inner, max_size=8)
    ),
    max_leaves=60,
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "content-type",
            "x-shopify-topic",
            "x-wc-webhook-topic",
            "webhook-id",
            "svix-id",
            "ce-id",
            "ce-type",
            "ce-specversion",
            "ce-source",
            "stripe-signature",
            "x-hubspot-signature-v3",
            "webhook-signature",
            "webhook-timestamp",
            "x-hubspot-request-timestamp",
            "authorization",
            "x-ghl-signature",
            "paypal-cert-url",
            "paypal-transmission-sig",
            "paypal-auth-algo",
            "x-cal-signature-256",
            "x-hubspot-signature",
            "webhook-request-origin",
        ]
    ),
    st.text(st.characters(max_codepoint=255), max_size=60)
    | st.sampled_from(
        [
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=b",
            "application/cloudevents+json",
            "application/cloudevents-batch+json",
            "t=1,v1=00",
            "v1,AAAA v1a,AAAA",
            "1.0",
            "Basic QQ==",
        ]
    ),
    max_size=8,
)
BODIES = JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=400)


@pytest.mark.parametrize("name", preset_names())
@settings(max_examples=60, deadline=None)
@given(body=BODIES, headers=HEADERS, method=st.sampled_from(["POST", "OPTIONS", "GET"]))
def test_any_delivery_to_a_preset_is_judged_and_nothing_is_raised(
    name: str, body: bytes, headers: dict[str, str], method: str
) -> None:
    source = SOURCES[name]
    sent = delivery(body, headers, method=method)
    source.handshake(sent)
    source.scheme.certificate_url(sent)
    assert not source.verify(sent, _secrets(source), NOW_US).verified or name in (
        "jotform",
        "custom",
    )
    result = source.map(sent, "d-1")
    assert result.events or result.notes, "nothing happened, without a reason"
    for event in result.events:
        assert event.type in source.types
        assert 0 < len(event.id) <= MAX_ID
        written = json.dumps(event.data, allow_nan=False)
        assert len(written) <= 2 * MAX_DATA
        assert not _floats(event.data), "an amount could lose digits"
        written.encode()
        assert event.contact.id is None or 0 < len(event.contact.id) <= MAX_ID


def _secrets(source: Source) -> Any:
    for text in ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "4JH86294D6297924G", "u:p"):
        try:
            return source.parse_secrets([text])
        except InvalidConfiguration:
            continue
    return ()


def _floats(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_floats, value.values()))
    if isinstance(value, list):
        return any(map(_floats, value))
    return isinstance(value, float)


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=2_000), headers=HEADERS)
def test_any_body_is_decoded_or_refused_with_a_reason(body: bytes, headers: dict[str, str]) -> None:
    for form in ("auto", "json", "form", "cloudevents"):
        try:
            value = decode_body(delivery(body, headers), form)
        except InvalidEvent:
            continue
        assert not _floats(value)
        assert json.dumps(value, default=str, ensure_ascii=False).encode()  # no lone surrogates


def _evaluate(text: str, root: Any) -> Any:
    """The value; None if the expression is refused, cannot be evaluated, or costs too much."""
    try:
        return compile_expression(text).evaluate(Budget(MAX_STEPS), root)
    except (ExpressionFault, BudgetExhausted):
        return None


TOKENS = st.sampled_from(
    [*"@*.,:&|!()[]{}'`\"<>=0129-", "[]", "[*]", "[?", "||", "&&", "==", "body", "a", "`1`", "'t'"]
    + [f"{name}(" for name in FUNCTIONS]
)
ROOT = {"a": [1, "x", None, {"b": [1, 2]}], "body": {"a": "19.90", "b": [[1], [2, 3]]}}


@settings(max_examples=500, deadline=None)
@given(text=st.lists(TOKENS, max_size=40).map("".join) | st.text(max_size=80), root=JSON)
def test_any_expression_is_compiled_or_refused_and_evaluated_within_the_budget(
    text: str, root: Any
) -> None:
    for body in (ROOT, json.loads(json.dumps(root, default=str))):
        before = json.dumps(body)
        _evaluate(text, body)
        assert json.dumps(body) == before, "an expression changes the body of the next one"


HOSTILE = {
    "doubling lists": " | ".join(["[@, @]"] * 24),
    "doubling lists, flattened": " | ".join(["[@, @][]"] * 24),
    "doubling objects": " | ".join(["{a: @, b: @}"] * 24) + " | to_string(@)",
    "doubling text": " | ".join(["concat(@, @)"] * 40),
    "doubling by join": " | ".join(["join('', [@, @])"] * 24),
    "parentheses": "(" * 500 + "a" + ")" * 500,
    "negations": "!" * 1_000 + "a",
    "alternatives": "||".join(["a"] * 400),
    "brackets": "[" * 600 + "a" + "]" * 600,
    "maps in maps": "map(&map(&map(&map(&map(&@, $), $), $), $), a)".replace("$", "to_array(@)"),
    "long": "a" * 5_000,
    "split": "split('" + "a," * 900 + "', ',')",
    "slice by zero": "a[::0]",
    "huge index": "a[99999999999999999999999999]",
    "huge number": "`1e999999999`",
    "huge power": "multiply(`1e400000`, `1e400000`)",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_expression_is_refused_or_stopped(name: str) -> None:
    big = {"a": ["x" * 100] * 2_000}
    for root in (big, big["a"], "x" * 10_000, {"a": {"a": big}}):
        value = _evaluate(HOSTILE[name], root)
        assert len(json.dumps(value, default=str)) < 2_000_000, name


def test_many_costly_expressions_share_one_budget() -> None:
    rule = {
        "when": "length(body[?contains(@, 'y')] | [@, @][] | sort(@)) == `9`",
        "type": "form.submitted",
    }
    source = compile_source("custom", {"events": {f"r{index}": rule for index in range(64)}})
    body = json.dumps(["x" * 20] * 20_000).encode()
    result = source.map(delivery(body), "d-1")
    assert result.events == ()
    assert "too large" in result.notes[0]


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"[" * 33 + b"]" * 33,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b"1" * 100_000,
        b'{"a": NaN, "a": Infinity}',
        b'"\\ud800"',
        b"\xff\xfe[]",
        b"",
        b" " * (1 << 20) + b"1",
    ],
)
def test_a_hostile_body_is_refused_or_read(body: bytes) -> None:
    for name, source in SOURCES.items():
        result = source.map(delivery(body), "d-1")
        assert result.notes or name == "custom", body[:20]


def test_amounts_beyond_all_bounds_are_no_payment() -> None:
    source = compile_source(
        "custom",
        {"events": {"p": {"when": "`true`", "type": "payment.completed", "amount": "body"}}},
    )
    for amount in ("1e999999999", "1" * 60, '"NaN"', '"Infinity"', '"1,000.00"', '"١٢"', "[1]"):
        result = source.map(delivery(amount.encode()), "d-1")
        assert result.events == (), amount
        assert "amount" in result.notes[0], amount


def test_an_expression_is_immutable_and_shows_its_text() -> None:
    expression = compile_expression("a.b")
    assert isinstance(expression, Expression)
    assert repr(expression) == "Expression(text='a.b')"
