"""Each preset turns its provider's payloads into exactly the expected events.

`payloads/<preset>/expected.json` has a case for each payload: the headers, the source's overrides,
and the events with their ids, times, data and contacts, or the reason why there are none.
"""

import json
from typing import Any

import pytest
from tests.support.sources.payloads import PAYLOADS, delivery, payload

from goald.domain.times import rfc3339
from goald.sources.compiled import compile_source
from goald.sources.documents.fields import EVENT_TYPES
from goald.sources.documents.presets import preset, preset_names
from goald.sources.mapping.results import MappedEvent

MIN_PAYLOADS = 3
WITHOUT_PAYLOADS = {"custom"}
"""No provider's format."""


def _cases() -> list[Any]:
    return [
        pytest.param(path.parent.name, case, id=f"{path.parent.name}: {name}")
        for path in sorted(PAYLOADS.glob("*/expected.json"))
        for name, case in json.loads(path.read_text("utf-8")).items()
    ]


def _as_expected(event: MappedEvent) -> dict[str, Any]:
    contact = {name: getattr(event.contact, name) for name in ("id", "email", "phone")}
    return {
        "type": event.type,
        "id": event.id,
        **({"source": event.source} if event.source else {}),
        **({"time": rfc3339(event.time_us)} if event.time_us is not None else {}),
        "data": event.data,
        "contact": {name: value for name, value in contact.items() if value is not None},
    }


@pytest.mark.parametrize(("name", "case"), _cases())
def test_a_payload_becomes_exactly_the_expected_events(name: str, case: dict[str, Any]) -> None:
    source = compile_source(name, case.get("overrides", {}))
    sent = delivery(payload(name, case["payload"]), case["headers"])
    result = source.map(sent, "d-1")
    assert [_as_expected(event) for event in result.events] == case["events"]
    assert list(result.notes) == case.get("notes", [])
    assert result.is_test == case.get("is_test", False)
    assert {event.type for event in result.events} <= source.types
    assert source.map(sent, "d-1") == result, "a retry would count as another event"


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_links_its_providers_documentation_and_is_proved_by_payloads(name: str) -> None:
    document = preset(name)
    if name != "custom":
        assert document["documentation"], name
    payloads = {case["payload"] for case in _expected(name).values()}
    if name not in WITHOUT_PAYLOADS:
        assert len(payloads) >= MIN_PAYLOADS, f"{name} has {len(payloads)} payloads"


@pytest.mark.parametrize("name", sorted(set(preset_names()) - {"custom"}))
def test_each_rule_of_a_preset_is_covered_by_a_payload_or_listed(name: str) -> None:
    rules = set(preset(name)["events"])
    covered = set()
    for case in _expected(name).values():
        source = compile_source(name, case.get("overrides", {}))
        sent = delivery(payload(name, case["payload"]), case["headers"])
        covered |= {event.rule for event in source.map(sent, "d-1").events}
    assert rules - covered == UNCOVERED.get(name, set())


UNCOVERED: dict[str, set[str]] = {
    # No public payload exists.
    "cloudevents": {"own"},
    "gohighlevel": {"order_refunded"},
    "pipedrive": {"label_removed"},
    "shopify": {"customer_merged", "customer_deleted"},
    "standard_webhooks": {"own"},
    "svix": {"own"},
    "woocommerce": {"order_refunded"},
}
"""Rules without a payload: their tests are in test_preset_rules.py."""


def test_no_preset_sends_events_of_enrollments() -> None:
    assert not [each for each in EVENT_TYPES if each.startswith("workflow.")]


def _expected(name: str) -> dict[str, Any]:
    path = PAYLOADS / name / "expected.json"
    cases: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return cases
