"""Reads the patterns of triggers and of waits for an event."""

from typing import Any, Final

from goald.domain.configuration.criteria import MATCH, read_criteria, references
from goald.domain.configuration.goals import LISTENS_TO, GoalType
from goald.domain.contacts.reading import MAX_NAME_CHARS
from goald.domain.definitions.readers.conditions import ConditionReader
from goald.domain.definitions.readers.fields import Field
from goald.domain.definitions.references import EntityReference, Reference
from goald.domain.definitions.steps import EventPattern, ListensFor
from goald.domain.errors import InvalidConfiguration

LISTENS_FOR: Final[tuple[ListensFor, ...]] = (*LISTENS_TO, "contact.updated")
MAX_CHANGED: Final = 20
_NO_MATCH: Final = (
    "`match` compares events with the values of an enrollment that another system starts; it "
    "cannot be used here"
)


def read_pattern(field: Field, references_found: list[Reference]) -> EventPattern | None:
    """Return the pattern; None if it has faults."""
    members = field.members(("on", "criteria"), ("on",))
    if members is None or "on" not in members:
        return None
    on = members["on"].choice(LISTENS_FOR)
    criteria = members.get("criteria") or field.at("criteria", None)
    if on is None:
        return None
    if on == "contact.updated":
        return _contact_pattern(criteria, references_found)
    return _event_pattern(on, criteria, references_found)


def _event_pattern(
    on: GoalType, field: Field, references_found: list[Reference]
) -> EventPattern | None:
    value: Any = field.value
    if isinstance(value, dict) and value.get(MATCH):
        field.at(MATCH, None).fault(_NO_MATCH)
        return None
    try:
        criteria = read_criteria(on, value)
    except InvalidConfiguration as error:
        for pointer, text in error.faults:
            # JSON pointers of criteria have names of fields only.
            keys = pointer.removeprefix("/criteria").split("/")[1:]
            field.faults.add((*field.path, *keys), text)
        return None
    for name, kind, entity_id in references(on, criteria):
        references_found.append(EntityReference(kind, entity_id, (*field.path, name)))
    return EventPattern(on, criteria)


def _contact_pattern(field: Field, references_found: list[Reference]) -> EventPattern | None:
    if field.value is None:
        return EventPattern("contact.updated")
    members = field.members(("changed", "condition"))
    if members is None:
        return None
    before = len(field.faults)
    changed: list[str] = []
    condition = None
    if "changed" in members:
        names = [
            item.text(MAX_NAME_CHARS) for item in members["changed"].items(MAX_CHANGED, least=1)
        ]
        changed = [name for name in names if name is not None]
    if "condition" in members:
        condition = ConditionReader(references_found).read(members["condition"])
    if len(field.faults) > before:
        return None
    return EventPattern("contact.updated", {}, tuple(dict.fromkeys(changed)), condition)
