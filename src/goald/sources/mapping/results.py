"""The results of mapping a delivery."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ContactReference:
    """How a delivery names its contact: by the platform's id, or by addresses to look it up. All
    None if it names no contact."""

    id: str | None = None
    email: str | None = None
    """As the provider sends it, without spaces around it."""
    phone: str | None = None
    """As the provider sends it: not necessarily E.164."""
    region: str | None = None
    """The country of a phone number without a country code, from the source's document."""

    @property
    def is_empty(self) -> bool:
        return self.id is None and self.email is None and self.phone is None


@dataclass(frozen=True, slots=True)
class MappedEvent:
    """An event of the envelope in docs/reference/events.md, before its contact is resolved."""

    type: str
    id: str
    """The same for every delivery of the same fact, so that a retry is a duplicate (E11)."""
    source: str | None
    """None: the receiver sets the source's name. CloudEvents keep their own."""
    time_us: int | None
    """None: the time of arrival (E20)."""
    data: Mapping[str, Any]
    """JSON without floats and without `contact_id`: amounts are decimal text."""
    contact: ContactReference
    rule: str
    """The name of the rule in the document."""


@dataclass(frozen=True, slots=True)
class MappingResult:
    """The events of one delivery, in order, with remarks for the operator."""

    events: tuple[MappedEvent, ...]
    notes: tuple[str, ...]
    """Why something in the delivery means nothing, or was changed; the reason if there are no
    events. At most 20, and never a value of the delivery that may be personal."""
    is_test: bool = False
    """Whether the delivery is a test event of the provider."""
