"""Ids are the same for every delivery of a fact, and differ for two facts."""

from typing import Any

from tests.support.sources.payloads import NOW_US, delivery

from goald.sources.compiled import compile_source
from goald.sources.mapping.results import MappedEvent
from goald.sources.mapping.values import event_id


def events(rule: dict[str, Any], body: bytes, delivery_id: str = "d-1") -> list[MappedEvent]:
    base = {"when": "`true`", "type": "form.submitted"}
    source = compile_source("custom", {"events": {"form": base | rule}})
    later = delivery(body, received_at_us=NOW_US + len(delivery_id))
    return list(source.map(later, delivery_id).events)


def test_an_id_of_parts_does_not_depend_on_the_delivery() -> None:
    rule, body = {"id": ["'form'", "body.n"]}, b'{"n": 17}'
    assert events(rule, body)[0].id == events(rule, body, "d-2")[0].id == "form:17"


def test_without_an_id_each_delivery_is_an_event_and_a_second_mapping_is_not() -> None:
    assert events({}, b"{}")[0].id == events({}, b"{}")[0].id
    assert events({}, b"{}")[0].id != events({}, b"{}", "d-2")[0].id


def test_a_missing_part_makes_the_id_derive_from_the_body() -> None:
    rule = {"id": ["body.n", "body.m"]}
    first, retry = events(rule, b'{"n": 1}')[0].id, events(rule, b'{"n": 1}', "d-2")[0].id
    assert first == retry, "a retry would count twice"
    assert first != events(rule, b'{"n": 2}')[0].id


def test_events_of_one_delivery_have_different_ids() -> None:
    found = events({"each": "body", "id": "entry.n"}, b'[{"n": 1}, {"n": 2}, {"n": 2}, {}, {}]')
    assert len({event.id for event in found}) == len(found) == 4


def test_long_ids_and_ids_with_control_characters_are_derived() -> None:
    assert event_id(["a", "b"]) == "a:b"
    for part in ("x" * 300, "a\nb", "a\u200bb"):
        derived = event_id([part])
        assert derived == event_id([part])
        assert len(derived) == 36
    assert event_id(["x" * 300]) != event_id(["x" * 301])
