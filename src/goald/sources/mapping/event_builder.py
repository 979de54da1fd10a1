"""Builds an event of a rule."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from goald.domain.contacts.zones import zone
from goald.domain.currencies import currency_code
from goald.sources.documents.fields import (
    ARRIVAL,
    ContactFields,
    EventFields,
    SourceDocument,
)
from goald.sources.expressions.budget import Budget
from goald.sources.expressions.expression import ExpressionFault
from goald.sources.expressions.numbers import amount_text, decimal_of, from_minor_units
from goald.sources.mapping.currencies import exponent_of
from goald.sources.mapping.results import ContactReference, MappedEvent
from goald.sources.mapping.times import time_us_of
from goald.sources.mapping.values import (
    MAX_ELEMENTS,
    DataBudget,
    DataTooLarge,
    clean_text,
    data_value,
    event_id,
    id_part,
    id_text,
)

_DAY_US: Final = 86_400_000_000
_MAX_ADDRESS: Final = 320
_PAYMENTS: Final = frozenset({"payment.completed", "payment.refunded"})


class Unusable(Exception):
    """A rule matches, but its event cannot be made. The message is the reason."""


class EventBuilder:
    """`note` receives remarks for the operator about an event that is made all the same, and `hint`
    those about its parts that lead nowhere."""

    def __init__(
        self,
        document: SourceDocument,
        budget: Budget,
        received_at_us: int,
        delivery_id: str,
        note: Callable[[str], None],
        hint: Callable[[str], None],
    ) -> None:
        self._document = document
        self._budget = budget
        self._received_at_us = received_at_us
        self._delivery_id = delivery_id
        self._note = note
        self._hint = hint
        self._zone = zone(document.time_zone)

    def build(
        self, name: str, rule: EventFields, root: Mapping[str, Any], index: int
    ) -> MappedEvent:
        """Return the event of a rule for one entry; `index` is the entry's place. Raises Unusable
        if its id, type, amount or currency cannot be read, since a wrong one is worse than none."""
        kind = rule.type or self._type_from(rule, root)
        return MappedEvent(
            kind,
            self._id(name, rule, root, index),
            id_text(self._required(rule.source, root, "source")) if rule.source else None,
            self._time(name, rule, root),
            self._data(name, rule, root, kind),
            self._contact(rule.contact, root),
            name,
        )

    def renamed(self, event: MappedEvent) -> MappedEvent:
        """The event with an id that no event of another type has."""
        return replace(event, id=event_id([event.id, event.type, event.contact.id or ""]))

    def _type_from(self, rule: EventFields, root: Mapping[str, Any]) -> str:
        kind = self._required(rule.type_from, root, "type_from")
        if kind not in rule.types:
            raise Unusable("its type is not among those that this source may send")
        return str(kind)

    def _id(self, name: str, rule: EventFields, root: Mapping[str, Any], index: int) -> str:
        if rule.id is None:
            return event_id([self._delivery_id, name, str(index)])
        values = [id_part(self._required(path, root, "id")) for path in rule.id]
        parts = [value for value in values if value is not None]
        if len(parts) == len(values):
            return event_id(parts)
        self._note(f"events.{name}: a part of the id is missing, so it derives from the body")
        return event_id([str(root["digest"]), name, str(index)])

    def _time(self, name: str, rule: EventFields, root: Mapping[str, Any]) -> int | None:
        path = rule.time or self._document.time
        if path == ARRIVAL:
            return None
        value = self._optional(path, root, f"events.{name}.time")
        if value is None:
            place = "time" if rule.time is None else f"events.{name}.time"
            self._hint(f"{place} leads nowhere in this delivery: the time of arrival counts")
            return None
        time_us = time_us_of(value, self._zone)
        if time_us is None:
            self._note(f"events.{name}: the time cannot be read, so the arrival counts")
            return None
        if time_us <= 0:  # how programs write that there is no time
            self._note(f"events.{name}: the time is not after 1970-01-01, so the arrival counts")
            return None
        limit = self._document.max_deviation_seconds
        ahead_us = time_us - self._received_at_us
        if ahead_us > _DAY_US or (limit is not None and abs(ahead_us) > limit * 1_000_000):
            self._note(f"events.{name}: the time is too far from the arrival, which counts instead")
            return None
        return time_us

    def _contact(self, fields: ContactFields | None, root: Mapping[str, Any]) -> ContactReference:
        base = self._document.contact
        own = fields.model_fields_set if fields is not None else frozenset()

        def value(name: str) -> Any:
            path = getattr(fields if name in own else base, name)
            return self._optional(path, root, f"contact.{name}")

        return ContactReference(
            id_text(value("id")),
            _email(value("email")),
            _phone(value("phone")),
            self._region(fields),
        )

    def _region(self, fields: ContactFields | None) -> str | None:
        """The country of the phone numbers of a rule with these fields for its contact."""
        has_own = fields is not None and "region" in fields.model_fields_set
        return fields.region if fields is not None and has_own else self._document.contact.region

    def _data(
        self, name: str, rule: EventFields, root: Mapping[str, Any], kind: str
    ) -> dict[str, Any]:
        budget = DataBudget()
        data: dict[str, Any] = {}
        members = self._optional(rule.data_from, root, f"events.{name}.data_from")
        fields: dict[str, Any] = dict(members) if isinstance(members, dict) else {}
        fields.pop("contact_id", None)
        for field, path in rule.data.items():
            fields[field] = self._optional(path, root, f"events.{name}.data.{field}")
        if rule.amount is not None or rule.currency is not None:
            fields |= self._money(rule, root)
            self._report_missing_money(name, rule, fields, kind)
        if rule.line_items is not None:
            fields["line_items"] = self._line_items(name, rule, root, fields.get("currency"))
        if kind == "contact.updated" and fields.get("region") is None and fields.get("phone"):
            fields["region"] = self._region(rule.contact)
        for field, each in fields.items():
            try:
                value = data_value(field, each, budget)
            except DataTooLarge:
                self._note(f"events.{name}: {clean_text(field)[:64]} is too large and left out")
                continue
            if value is not None and value not in ("", [], {}):
                data[clean_text(field)] = value
        return data

    def _report_missing_money(
        self, name: str, rule: EventFields, fields: Mapping[str, Any], kind: str
    ) -> None:
        """A completed payment without its amount may meet a goal (E13), and a refund without it
        cannot be compared with its payment, so the operator learns of it with the delivery
        itself."""
        missing = [
            part
            for part in ("amount", "currency")
            if getattr(rule, part) is not None and fields[part] is None
        ]
        for part in missing if kind in _PAYMENTS else ():
            where = f"events.{name}.{part} leads nowhere in this delivery"
            if part == "amount" and kind == "payment.completed":
                self._note(f"{where}: the payment has none, and meets goals without `min_amount`")
                continue
            report = self._note if part == "amount" else self._hint
            report(f"{where}: the event has none")

    def _money(self, rule: EventFields, root: Mapping[str, Any]) -> dict[str, Any]:
        currency = self._required(rule.currency, root, "currency") or self._document.money.currency
        if currency is not None:
            if not isinstance(currency, str) or not 0 < len(currency.strip()) <= 16:
                raise Unusable("its currency is not a code")
            currency = currency_code(currency.strip()) or currency.strip()
        value = self._required(rule.amount, root, "amount")
        return {"amount": self._amount(rule, value, currency), "currency": currency}

    def _amount(self, rule: EventFields, value: Any, currency: str | None) -> str | None:
        if value is None:
            return None
        number = decimal_of(value)
        if number is None:
            raise Unusable("its amount is not a number")
        money = self._document.money
        if money.minor_units if rule.minor_units is None else rule.minor_units:
            number = self._in_units(number, currency)
        text = amount_text(number)
        if text is None:
            raise Unusable("its amount has too many digits")
        return text

    def _in_units(self, number: Decimal, currency: str | None) -> Decimal:
        if currency is None:
            raise Unusable("its amount is in minor units and it has no currency")
        exponent = self._document.money.exponents.get(currency, exponent_of(currency))
        if exponent is None:
            raise Unusable("its amount is in minor units of a currency that ISO 4217 does not list")
        return from_minor_units(number, exponent)

    def _line_items(
        self, name: str, rule: EventFields, root: Mapping[str, Any], currency: Any
    ) -> list[dict[str, Any]]:
        fields = rule.line_items
        if fields is None:
            return []
        entries = self._optional(fields.each, root, "line_items.each")
        if not isinstance(entries, list):
            fault = "leads nowhere in this delivery" if entries is None else "is not a list"
            self._hint(f"events.{name}.line_items.each {fault}: there are no line items")
            return []
        items = []
        for entry in entries[:MAX_ELEMENTS]:
            inner = {**root, "entry": entry}
            amount = self._optional(fields.amount, inner, "line_items.amount")
            item = {
                "product_id": id_text(self._optional(fields.product_id, inner, "product_id")),
                "amount": self._item_amount(rule, amount, currency),
                "quantity": self._optional(fields.quantity, inner, "line_items.quantity"),
                "name": self._optional(fields.name, inner, "line_items.name"),
            }
            items.append({key: each for key, each in item.items() if each is not None})
        for part in ("product_id", "amount"):
            if (
                items
                and getattr(fields, part) is not None
                and not any(part in item for item in items)
            ):
                self._hint(f"events.{name}.line_items.{part} leads nowhere in this delivery")
        return [item for item in items if item]

    def _item_amount(self, rule: EventFields, value: Any, currency: Any) -> str | None:
        try:
            return self._amount(rule, value, currency)
        except Unusable as fault:
            self._note(f"a line item without its amount: {fault}")
            return None

    def _optional(self, path: Any, root: Mapping[str, Any], place: str) -> Any:
        if path is None:
            return None
        try:
            return path.evaluate(self._budget, root)
        except ExpressionFault as fault:
            self._note(f"{place} {fault}")
            return None

    def _required(self, path: Any, root: Mapping[str, Any], place: str) -> Any:
        try:
            return None if path is None else path.evaluate(self._budget, root)
        except ExpressionFault as fault:
            raise Unusable(f"{place} {fault}") from None


def _email(value: Any) -> str | None:
    text = value.strip() if isinstance(value, str) else ""
    if not 3 <= len(text) <= _MAX_ADDRESS or "@" not in text[1:-1] or not text.isprintable():
        return None
    return text


def _phone(value: Any) -> str | None:
    text = value.strip() if isinstance(value, str) else id_text(value) or ""
    if not 3 <= len(text) <= 64 or not text.isprintable():
        return None
    return text
