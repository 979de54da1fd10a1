"""The events of each preset's payloads are valid events of goald, with exact amounts."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.sources.payloads import NOW_US, PAYLOADS, delivery, payload

from goald.api.sources.compiled import CompiledSources
from goald.api.sources.envelopes import encoded, envelope
from goald.domain.credentials.sources import SourceEntry
from goald.pipeline.intake import intake
from goald.sources.compiled import Source
from goald.sources.mapping.results import ContactReference, MappedEvent


def entry(preset: str, **overrides: object) -> SourceEntry:
    return SourceEntry("pay", preset, overrides, 0, 0, 0, 0, None)


def source(preset: str, **overrides: object) -> Source:
    return CompiledSources().of(entry(preset, **overrides))


def test_payment_of_stripe_passes_the_intake_with_its_exact_amount() -> None:
    body = payload("stripe", "checkout.session.completed_current_jpy_guest.json")
    result = source("stripe", accept_tests=True).map(delivery(body), "d-1")
    assert result.events, result.notes

    found = intake(
        encoded([envelope(each, "c-1", "pay", NOW_US) for each in result.events]), "acme", NOW_US
    )

    assert not found.refused
    assert [each.contact for each in found.accepted] == ["c-1"] * len(result.events)
    first = json.loads(found.accepted[0].payload)
    assert (first["tenantid"], first["source"]) == ("acme", "pay")
    assert first["data"]["amount"] == result.events[0].data["amount"]


def _documents() -> list[Any]:
    return sorted(PAYLOADS.glob("*/expected.json"))


@pytest.mark.parametrize("file", _documents(), ids=lambda file: str(file.parent.name))
def test_every_event_of_the_payloads_passes_the_intake(file: Path) -> None:
    envelopes = []
    for name, case in json.loads(file.read_text("utf-8")).items():
        preset = file.parent.name
        sent = delivery(payload(preset, case["payload"]), case["headers"])
        result = source(preset, **case.get("overrides", {})).map(sent, name)
        envelopes += [
            envelope(event, event.contact.id or "c-1", "pay", NOW_US) for event in result.events
        ]
    assert envelopes

    found = intake(encoded(envelopes), "acme", NOW_US)

    assert [(refused.id, refused.reason) for refused in found.refused] == []


def test_event_without_a_time_and_source_has_those_of_its_arrival() -> None:
    event = MappedEvent("form.submitted", "e-1", None, None, {"form_id": "f"}, ContactReference(),
                        "submission")  # fmt: skip

    assert envelope(event, "c-1", "forms", NOW_US) == {
        "id": "e-1",
        "source": "forms",
        "type": "form.submitted",
        "time": "2026-11-27T20:29:35.000000Z",
        "data": {"form_id": "f", "contact_id": "c-1"},
    }


def test_compiled_source_is_kept_until_its_document_changes() -> None:
    kept = CompiledSources(max_kept=2)
    first = kept.of(entry("stripe"))

    assert kept.of(entry("stripe")) is first
    assert kept.of(entry("stripe", accept_tests=True)) is not first
    assert kept.of(entry("stripe")) is first
    kept.of(entry("typeform"))
    kept.of(entry("tally"))
    assert kept.of(entry("stripe")) is not first
