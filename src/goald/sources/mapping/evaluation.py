"""Evaluates a source document for one delivery."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from goald.domain.errors import InvalidEvent
from goald.sources.bodies.cloud_events import fault_of
from goald.sources.bodies.decoding import FORM, decode_body, media_type
from goald.sources.delivery import Delivery
from goald.sources.documents.fields import EventFields, SourceDocument
from goald.sources.expressions.budget import Budget, BudgetExhausted
from goald.sources.expressions.compiler import is_false
from goald.sources.expressions.expression import ExpressionFault
from goald.sources.mapping.event_builder import EventBuilder, Unusable
from goald.sources.mapping.results import MappedEvent, MappingResult
from goald.sources.mapping.values import clean_text

MAX_ITEMS: Final = 1_000
MAX_EVENTS: Final = 2_000
MAX_NOTES: Final = 20
_SECRET_HEADERS: Final = frozenset({"authorization", "cookie", "proxy-authorization"})


def map_delivery(
    document: SourceDocument, delivery: Delivery, delivery_id: str, *, hints: bool = False
) -> MappingResult:
    """Return the events that a delivery means.

    `delivery_id` is the receiver's own id of the delivery: it makes the ids of events whose rule
    names none, so it must be the same whenever the same delivery is mapped again. `hints`: whether
    the notes say which parts of an event lead nowhere. Most deliveries lack some, so this helps the
    author of a document only; the amount of a payment or refund is noted in any case. Never raises
    for any content of a delivery; a fault of one item leaves the others alone.
    """
    evaluation = _Evaluation(document, delivery, delivery_id, hints=hints)
    try:
        evaluation.run()
    except InvalidEvent as error:
        return evaluation.nothing(str(error))
    except BudgetExhausted:
        return evaluation.nothing(
            "the delivery is too large for the expressions of this source: they were stopped"
        )
    return evaluation.result()


def root_of(document: SourceDocument, delivery: Delivery, body: Any) -> dict[str, Any]:
    """Return what expressions see of a delivery."""
    return {
        "body": body,
        "headers": {
            name: value for name, value in delivery.headers.items() if name not in _SECRET_HEADERS
        },
        "query": _query(delivery.url),
        "parameters": document.parameters,
        "digest": hashlib.sha256(delivery.body).hexdigest(),
        "method": delivery.method,
    }


def _ignore(_text: str) -> None:
    return None


def _query(url: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(urlsplit(url).query, max_num_fields=64))
    except ValueError:
        return {}


class _Evaluation:
    def __init__(
        self, document: SourceDocument, delivery: Delivery, delivery_id: str, *, hints: bool
    ) -> None:
        self._document = document
        self._delivery = delivery
        self._budget = Budget()
        self._builder = EventBuilder(
            document,
            self._budget,
            delivery.received_at_us,
            delivery_id,
            self._note,
            self._note if hints else _ignore,
        )
        self._events: list[MappedEvent] = []
        self._notes: dict[str, None] = {}
        self._is_test = False

    def result(self) -> MappingResult:
        return MappingResult(tuple(self._events), tuple(self._notes), self._is_test)

    def nothing(self, reason: str) -> MappingResult:
        return MappingResult((), (clean_text(reason),), self._is_test)

    def run(self) -> None:
        body = decode_body(self._delivery, self._document.body)
        root = root_of(self._document, self._delivery, body)
        items = self._items(root, body)
        if not items:
            self._note("the delivery is empty")
        if len(items) > MAX_ITEMS:
            self._note(f"only the first {MAX_ITEMS} of {len(items)} items were read")
        for item in items[:MAX_ITEMS]:
            self._item(root | {"item": item})

    def _items(self, root: Mapping[str, Any], body: Any) -> list[Any]:
        if self._document.items is None:
            return body if self._document.body == "cloudevents" else [body]
        try:
            items = self._document.items.evaluate(self._budget, root)
        except ExpressionFault as fault:
            raise InvalidEvent(f"items: {fault}") from None
        return items if isinstance(items, list) else []

    def _item(self, root: dict[str, Any]) -> None:
        if self._document.body == "cloudevents":
            fault = fault_of(root["item"])
            if fault is not None:
                self._note(f"not a CloudEvent: {fault}")
                return
        for name, path in self._document.let.items():
            root[name] = self._value(path, root, f"let.{name}")
        reason = self._rejection(root)
        if reason is not None:
            self._note(reason)
            return
        matched = [
            (name, rule)
            for name, rule in self._document.events.items()
            if not is_false(self._value(rule.when, root, f"events.{name}.when"))
        ]
        for name, rule in matched:
            self._rule(name, rule, root)
        if not matched:
            self._note(self._no_rule(root))

    def _rejection(self, root: Mapping[str, Any]) -> str | None:
        """Why an item means nothing under any rule; None if the rules decide."""
        for name, check in self._document.require.items():
            if is_false(self._value(check.when, root, f"require.{name}")):
                return check.reason
        for name, check in self._document.test.items():
            if not is_false(self._value(check.when, root, f"test.{name}")):
                self._is_test = True
                if not self._document.accept_tests:
                    return f"{check.reason} (a test event; `accept_tests` lets it count)"
        return None

    def _no_rule(self, root: Mapping[str, Any]) -> str:
        for name, check in self._document.ignore.items():
            if not is_false(self._value(check.when, root, f"ignore.{name}")):
                return check.reason
        kind = self._value(self._document.kind, root, "kind")
        if isinstance(kind, str) and kind:
            return f"{kind[:64]} means no event to this source"
        reason = "no rule of this source matches the delivery"
        if self._document.body == "auto" and media_type(self._delivery) == FORM:
            return f"{reason}; the body was read as a form (Content-Type {FORM})"
        return reason

    def _rule(self, name: str, rule: EventFields, root: Mapping[str, Any]) -> None:
        for index, entry in enumerate(self._entries(name, rule, root)):
            if len(self._events) >= MAX_EVENTS:
                self._note(f"only the first {MAX_EVENTS} events were made")
                return
            try:
                event = self._builder.build(name, rule, {**root, "entry": entry}, index)
            except Unusable as fault:
                self._note(f"events.{name}: {fault}")
            else:
                self._add(event)

    def _entries(self, name: str, rule: EventFields, root: Mapping[str, Any]) -> Iterator[Any]:
        if rule.each is None:
            yield root["item"]
            return
        entries = self._value(rule.each, root, f"events.{name}.each")
        if not entries:
            self._note(f"events.{name}: nothing in `each`")
        elif isinstance(entries, list):
            yield from entries
        else:
            self._note(f"events.{name}: `each` is not a list")

    def _add(self, event: MappedEvent) -> None:
        same = [each for each in self._events if (each.id, each.source) == (event.id, event.source)]
        if any(each.type == event.type and each.contact == event.contact for each in same):
            self._note(f"events.{event.rule}: the delivery says the same twice")
            return
        if same:
            event = self._builder.renamed(event)
        self._events.append(event)

    def _value(self, path: Any, root: Mapping[str, Any], place: str) -> Any:
        """The value of an expression; None, with a note, where it does not fit the delivery."""
        if path is None:
            return None
        try:
            return path.evaluate(self._budget, root)
        except ExpressionFault as fault:
            self._note(f"{place} {fault}")
            return None

    def _note(self, text: str) -> None:
        if len(self._notes) < MAX_NOTES:
            self._notes[clean_text(text)] = None
