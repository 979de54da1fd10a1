"""The actions that steps can have, and the fields of each under `with`."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, TypeAlias

from goald.domain.configuration.criteria import read_criteria
from goald.domain.contacts.reading import MAX_NAME_CHARS, MAX_VALUE_BYTES
from goald.domain.definitions.readers.fields import Field
from goald.domain.definitions.readers.requests import (
    MAX_HEADERS,
    header_fault,
    number_fault,
    url_fault,
)
from goald.domain.definitions.references import EntityReference, Reference
from goald.domain.errors import InvalidConfiguration
from goald.domain.suggestions import nearest

MAX_CUSTOM_VALUES: Final = 1_000
"""Values under `with`."""
METHODS: Final = ("POST", "PUT", "PATCH", "DELETE", "GET")
CUSTOM_ACTION = re.compile(r"[a-z][a-z0-9_]{0,31}(\.[a-z][a-z0-9_]{0,31}){1,3}")
"""The name of an action that goald does not have, such as acme.create_invoice. Its dot
distinguishes it from a misspelt one."""


class ConfigReader:
    """Reads the fields of one action."""

    def __init__(self, references: list[Reference], *, has_trigger: bool) -> None:
        self._references = references
        self._has_trigger = has_trigger
        self._values = 0

    def template(self, field: Field) -> None:
        """A text, in which outputs and tags of Liquid are rendered."""
        if not isinstance(field.value, str) or not field.value:
            field.fault("must be a text that is not empty: put it in quotes")
            return
        for fault in self._template_faults(field.value):
            field.fault(fault)

    def body(self, field: Field) -> None:
        """JSON whose texts are templates."""
        self._values += 1
        if self._values > MAX_CUSTOM_VALUES:
            if self._values == MAX_CUSTOM_VALUES + 1:
                field.fault(f"an action may have {MAX_CUSTOM_VALUES:,} values")
            return
        match field.value:
            case str():
                for fault in self._template_faults(field.value):
                    field.fault(fault)
            case Mapping():
                for name, value in field.value.items():
                    self.body(field.at(str(name), value))
            case list():
                for index, value in enumerate(field.value):
                    self.body(field.at(index, value))
            case number:
                self._number(field, number)

    def url(self, field: Field) -> None:
        """A URL whose scheme and host are not templates."""
        self.template(field)
        if not isinstance(field.value, str):
            return
        fault = url_fault(field.value)
        if fault is not None:
            field.fault(fault)

    def headers(self, field: Field) -> None:
        """A map of templates by the names of headers."""
        if not isinstance(field.value, Mapping):
            field.fault("must be a map")
            return
        if len(field.value) > MAX_HEADERS:
            field.fault(f"must have at most {MAX_HEADERS} headers")
            return
        names: set[str] = set()
        for name, value in field.value.items():
            header = field.at(str(name), value)
            fault = header_fault(str(name))
            if fault is None and str(name).lower() in names:
                fault = "already exists: the names of headers do not differ by case"
            if fault is not None:
                header.fault(fault)
            names.add(str(name).lower())
            self.template(header)

    def method(self, field: Field) -> None:
        field.choice(METHODS)

    def attributes(self, field: Field) -> None:
        """A map of attributes: a text is a template, null removes the attribute."""
        if not isinstance(field.value, Mapping):
            field.fault("must be a map")
            return
        for name, value in field.value.items():
            attribute = field.at(str(name), value)
            if not 0 < len(str(name)) <= MAX_NAME_CHARS or not str(name).isprintable():
                attribute.fault(f"a name must have 1 to {MAX_NAME_CHARS} printable characters")
            if isinstance(value, str):
                for fault in self._template_faults(value):
                    attribute.fault(fault)
            elif not (value is None or isinstance(value, bool | int | Decimal)):
                attribute.fault("must be text, a number, true, false or null")
            self._number(attribute, value)
            if isinstance(value, str) and len(value.encode("utf-8", "replace")) > MAX_VALUE_BYTES:
                attribute.fault(f"must have at most {MAX_VALUE_BYTES:,} bytes")

    def _template_faults(self, source: str) -> Iterator[str]:
        # Here, because its library takes 0.3 s to import, and few processes read definitions.
        from goald.domain.definitions.readers.templates import template_faults

        return template_faults(source, has_trigger=self._has_trigger)

    def _number(self, field: Field, value: Any) -> None:
        fault = number_fault(value)
        if fault is not None:
            field.fault(fault)

    def flag(self, field: Field) -> None:
        field.flag()

    def tag_id(self, field: Field) -> None:
        if self._is_tag(field, "tag_id"):
            self._references.append(EntityReference("tag", str(field.value), field.path))

    def tag_name(self, field: Field) -> None:
        self._is_tag(field, "tag_name")

    def _is_tag(self, field: Field, name: str) -> bool:
        try:
            read_criteria("tag_added", {name: field.value})
        except InvalidConfiguration as error:
            field.fault(error.faults[0][1])
            return False
        if any(mark in field.value for mark in ("{{", "{%")):
            field.fault("must not be a template: conditions and statistics know the tag by it")
            return False
        return True


_ReadField: TypeAlias = Callable[[ConfigReader, Field], None]


@dataclass(frozen=True, slots=True)
class ActionType:
    """An action: its fields, which of them it needs, and whether it can have a connection."""

    fields: Mapping[str, _ReadField] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    """At least one of these is required."""
    has_connection: bool = False


_TAG = ActionType(
    {"tag_id": ConfigReader.tag_id, "tag_name": ConfigReader.tag_name},
    any_of=("tag_id", "tag_name"),
)
ACTIONS: Final[Mapping[str, ActionType]] = {
    "send_email": ActionType(
        {
            "subject": ConfigReader.template,
            "body": ConfigReader.template,
            "html": ConfigReader.template,
            "to": ConfigReader.template,
            "reply_to": ConfigReader.template,
        },
        ("subject", "body"),
        has_connection=True,
    ),
    "send_sms": ActionType(
        {"text": ConfigReader.template, "to": ConfigReader.template},
        ("text",),
        has_connection=True,
    ),
    "webhook": ActionType(
        {
            "url": ConfigReader.url,
            "method": ConfigReader.method,
            "headers": ConfigReader.headers,
            "body": ConfigReader.body,
        },
        ("url",),
        has_connection=True,
    ),
    "add_tag": _TAG,
    "remove_tag": _TAG,
    "update_contact": ActionType(
        {
            "email": ConfigReader.template,
            "phone": ConfigReader.template,
            "timezone": ConfigReader.template,
            "opted_in": ConfigReader.flag,
            "attributes": ConfigReader.attributes,
        },
        any_of=("email", "phone", "timezone", "opted_in", "attributes"),
    ),
    "notify_admin": ActionType(
        {"subject": ConfigReader.template, "message": ConfigReader.template}, ("message",)
    ),
    "noop": ActionType(),
}
"""The actions that goald has."""


def read_config(action: str, given: Field, reader: ConfigReader) -> Mapping[str, Any]:
    """Check the fields of an action and return those that are set. Of an action that goald does not
    have, every text is a template."""
    kind = ACTIONS.get(action)
    if kind is None:
        if not isinstance(given.value, Mapping):
            given.fault("must be a map")
            return {}
        reader.body(given)
        return given.value
    members = given.members(tuple(kind.fields), kind.required)
    if members is None:
        return {}
    if kind.any_of and not members.keys() & set(kind.any_of):
        given.fault(f"must have at least one of {', '.join(kind.any_of)}")
    for name, member in members.items():
        kind.fields[name](reader, member)
    return {name: member.value for name, member in members.items()}


def action_fault(name: str) -> str | None:
    """Return the fault of the name of an action; None if goald has it or it can be a custom one."""
    if name in ACTIONS or CUSTOM_ACTION.fullmatch(name):
        return None
    suggestion = nearest(name, ACTIONS)
    if suggestion is not None:
        return f"unknown action. Did you mean {suggestion}?"
    return (
        f"unknown action. The actions are {', '.join(ACTIONS)}; the name of your own "
        "has a dot and consists of a-z, 0-9 and _, such as acme.create_invoice"
    )
