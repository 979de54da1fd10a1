"""The part of the demo's traffic that starts executions of `trial-welcome`. Pure."""

import random
from collections import deque
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

Action: TypeAlias = tuple[str, dict[str, Any]]
"""The type and the data of an event, without the contact."""

MAIL_DOMAIN: Final = "trial-users.goald.invalid"
"""Of the addresses of the demo's contacts."""
NAMES: Final = ("Ada", "Ben", "Chloe", "Dan", "Eva", "Finn", "Grace", "Hugo")
BUYERS: Final = 0.4
"""The part of the contacts that buy during the waits of the workflow."""
LONGEST_S: Final = 70.0
"""A purchase follows the start within this time; the waits together are shorter, so a few are too
late."""
MAX_PURCHASES: Final = 1_000
"""Further contacts do not buy, so that the memory is bounded."""
PURCHASE: Final[Action] = (
    "payment.completed",
    {"amount": "29.00", "currency": "USD", "product_id": "plan-pro"},
)


class Trials:
    """Contacts that start a trial: they give their address, fill in a form, and some of them buy
    the product."""

    def __init__(self, source: random.Random) -> None:
        self._random = source
        self._next: deque[tuple[str, Action]] = deque()
        """Contacts and actions without delay."""
        self._purchases: deque[tuple[datetime, str]] = deque()
        """Times and contacts. Not sorted: a purchase waits for those before it."""

    def start(self, contact_id: str, now: datetime) -> Action:
        """The contact's first action. `due` returns the others."""
        name = self._random.choice(NAMES)
        address = f"{name.lower()}.{contact_id[:8]}@{MAIL_DOMAIN}"
        self._next.append((contact_id, ("form.submitted", {"form_id": "form-trial"})))
        if self._random.random() < BUYERS and len(self._purchases) < MAX_PURCHASES:
            delay = timedelta(seconds=self._random.uniform(1, LONGEST_S))
            self._purchases.append((now + delay, contact_id))
        return "contact.updated", {"email": address, "attributes": {"first_name": name}}

    def due(self, now: datetime) -> tuple[str, Action] | None:
        """The contact and the action that are due, if any."""
        if self._next:
            return self._next.popleft()
        if self._purchases and self._purchases[0][0] <= now:
            return self._purchases.popleft()[1], PURCHASE
        return None
