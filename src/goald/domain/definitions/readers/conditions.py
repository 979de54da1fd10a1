"""Reads the conditions of steps and triggers."""

import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from goald.domain.contacts.reading import MAX_NAME_CHARS
from goald.domain.definitions.conditions import (
    OPERATORS,
    AllOf,
    AnyOf,
    AttributeTest,
    Condition,
    Not,
    Operator,
    Scalar,
    TagTest,
)
from goald.domain.definitions.readers.fields import Field
from goald.domain.definitions.references import EntityReference, Reference
from goald.domain.ids import NOT_AN_ID, is_id

MAX_CONDITION_DEPTH: Final = 8
MAX_TESTS: Final = 50
"""Of one condition."""
MAX_TEXT: Final = 1_024
"""Characters of a value."""
_FORMS: Final = "a condition has has_tag, or attribute with op and value, or one of and, or, not"
_ORDERED: Final = ("lt", "lte", "gt", "gte")


class ConditionReader:
    """Reads one condition."""

    def __init__(self, references: list[Reference]) -> None:
        self._references = references
        self._tests = 0

    def read(  # noqa: PLR0911 -- one for each form
        self, field: Field, depth: int = 1
    ) -> Condition | None:
        """Return the condition; None if it has faults."""
        if not isinstance(field.value, Mapping):
            field.fault("must be a map: " + _FORMS)
            return None
        if depth > MAX_CONDITION_DEPTH:
            field.fault(f"conditions may be nested {MAX_CONDITION_DEPTH} deep")
            return None
        forms = [
            name for name in ("has_tag", "attribute", "and", "or", "not") if name in field.value
        ]
        if len(forms) != 1:
            field.fault("must be exactly one condition: " + _FORMS)
            return None
        known = ("attribute", "op", "value") if forms[0] == "attribute" else forms
        members = field.members(known, forms)
        if not members or forms[0] not in members:
            return None
        inner = members[forms[0]]
        if forms[0] in ("has_tag", "attribute"):
            self._count(field)
        match forms[0]:
            case "has_tag":
                return self._tag(inner)
            case "attribute":
                return self._attribute(inner, members)
            case "not":
                condition = self.read(inner, depth + 1)
                return None if condition is None else Not(condition)
            case form:
                read = [self.read(item, depth + 1) for item in inner.items(MAX_TESTS, least=1)]
                conditions = tuple(each for each in read if each is not None)
                if len(conditions) < len(read) or not read:
                    return None
                return AllOf(conditions) if form == "and" else AnyOf(conditions)

    def _count(self, field: Field) -> None:
        self._tests += 1
        if self._tests == MAX_TESTS + 1:
            field.fault(f"a condition may have {MAX_TESTS} tests")

    def _tag(self, field: Field) -> TagTest | None:
        """A name, or a map with `tag_id`, `tag_name` or both."""
        if not isinstance(field.value, Mapping):
            name = field.text()
            return None if name is None else TagTest(None, unicodedata.normalize("NFC", name))
        members = field.members(("tag_id", "tag_name"))
        if members is None:
            return None
        if not members:
            field.fault("must have tag_id or tag_name")
            return None
        tag_id = self._tag_id(members["tag_id"]) if "tag_id" in members else None
        name = members["tag_name"].text() if "tag_name" in members else None
        if tag_id is None and name is None:
            return None
        return TagTest(tag_id, None if name is None else unicodedata.normalize("NFC", name))

    def _tag_id(self, field: Field) -> str | None:
        if not isinstance(field.value, str) or not is_id(field.value):
            field.fault(NOT_AN_ID)
            return None
        self._references.append(EntityReference("tag", field.value, field.path))
        return field.value

    def _attribute(self, field: Field, members: Mapping[str, Field]) -> AttributeTest | None:
        name = field.text(MAX_NAME_CHARS)
        if "op" not in members:
            operator: Operator | None = "eq" if "value" in members else "exists"
        else:
            operator = members["op"].choice(OPERATORS)
        if operator is None:
            return None
        values = _values(operator, members.get("value"), field)
        return None if name is None or values is None else AttributeTest(name, operator, values)


def _values(operator: Operator, field: Field | None, attribute: Field) -> tuple[Scalar, ...] | None:
    """Return the values to compare with; None if they have faults."""
    if operator == "exists":
        if field is not None:
            field.fault("exists compares with no value")
        return ()
    if field is None:
        Field(None, (*attribute.path[:-1], "value"), attribute.faults).fault("required but missing")
        return None
    items = field.items(MAX_TESTS, least=1) if operator == "in" else [field]
    values = [_scalar(operator, item) for item in items]
    known = tuple(value for value in values if value is not None)
    return known if known and len(known) == len(values) else None


def _scalar(operator: Operator, field: Field) -> Scalar | None:
    value: Any = field.value
    if operator in _ORDERED:
        number = _number(value)
        if number is None:
            field.fault(f"{operator} compares with a number")
        return number
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return field.text(MAX_TEXT) if value else value
    number = _number(value)
    if number is None:
        field.fault("must be text, a number, true or false")
    return number


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    number = Decimal(value)
    digits = number.as_tuple()
    if len(digits.digits) > 18 or not isinstance(digits.exponent, int) or abs(digits.exponent) > 18:
        return None
    return number
