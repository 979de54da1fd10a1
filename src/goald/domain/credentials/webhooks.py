"""Webhooks of providers: their secrets, and the event types and sources that they may send."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

from goald.domain.configuration.goals import LISTENS_TO

DEFAULT_TYPES: Final = tuple(sorted(LISTENS_TO.values()))
"""The event types that goals listen to. A provider may send these unless it is given others."""
MAX_WEBHOOKS: Final = 100
"""Webhooks of a tenant."""
MAX_TYPES: Final = 64
MAX_TYPE_LENGTH: Final = 128
MAX_SOURCES: Final = 64
MAX_GRANT_BYTES: Final = 8 << 10
"""The types and sources of a webhook, in UTF-8, so that a list of all webhooks takes at most about
1 MiB."""

NotGranted = Literal["type", "source"]
"""The attribute of an event that the grant does not include."""


@dataclass(frozen=True, slots=True)
class EventGrant:
    """The events that one provider of a tenant may send."""

    types: Collection[str] = DEFAULT_TYPES
    sources: Collection[str] | None = None
    """None: any source."""

    @property
    def size(self) -> int:
        """The bytes of the types and sources in UTF-8."""
        return sum(len(name.encode()) for name in (*self.types, *(self.sources or ())))

    def refuses(self, event_type: str, source: str) -> NotGranted | None:
        """Return the attribute that the grant does not include; None if the event is granted.
        Types and sources are compared exactly, character by character."""
        if event_type not in self.types:
            return "type"
        if self.sources is not None and source not in self.sources:
            return "source"
        return None


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """The secret of a webhook, and the events that it permits."""

    secret: bytes
    grant: EventGrant


@dataclass(frozen=True, slots=True)
class WebhookEntry:
    """A webhook without its secret."""

    provider: str
    created_at_us: int
    grant: EventGrant
