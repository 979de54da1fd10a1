"""Deliveries of providers, as an operator sees them: nothing in them is secret or an address."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

DeliveryOutcome = Literal["accepted", "ignored", "handshake", "unverified", "failed"]
"""`accepted`: at least one event is on the streams. `ignored`: the delivery means no event.
`failed`: the provider got an error and delivers again."""
EventOutcome = Literal["sent", "ignored", "dead", "refused"]

MAX_EVENTS: Final = 5
"""The events of a delivery that are shown."""
MAX_NOTES: Final = 5
_MAX_TEXT: Final = 200
_MAX_ID: Final = 100
_EMAIL: Final = re.compile(r"[^\s@:]+@(?=[^\s@:]+)")
_PHONE: Final = re.compile(r"\+\d[\d ().-]{5,}(?=\d\d)")


@dataclass(frozen=True, slots=True)
class DeliveredEvent:
    """One event of a delivery."""

    type: str
    id: str
    contact: str | None
    """The contact's id, with addresses in it masked; None if no contact was found."""
    outcome: EventOutcome
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """One delivery."""

    id: str
    """The receiver's own id of the delivery."""
    received_at_us: int
    outcome: DeliveryOutcome
    verification: str
    """Why the delivery is trusted or not."""
    size: int
    """Bytes of the body."""
    media_type: str
    is_test: bool = False
    """Whether it is a test event of the provider."""
    event_count: int = 0
    events: Sequence[DeliveredEvent] = ()
    """The first MAX_EVENTS."""
    notes: Sequence[str] = ()
    """Why the delivery, or something in it, means no event or was changed; at most MAX_NOTES."""

    @property
    def is_verified(self) -> bool:
        return self.outcome != "unverified"


def masked(text: str) -> str:
    """Return an id with its e-mail addresses and phone numbers masked, cut to 100 characters."""
    text = _PHONE.sub("+…", _EMAIL.sub(lambda found: f"{found[0][0]}…@", text))
    return text if len(text) <= _MAX_ID else f"{text[: _MAX_ID - 1]}…"


def shortened(text: str) -> str:
    """Return a text cut to 200 characters."""
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"
