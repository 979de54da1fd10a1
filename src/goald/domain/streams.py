"""The streams, independent of their storage."""

from enum import StrEnum
from typing import Final

from goald.domain.slots import slot_of

DEFAULT_STREAMS: Final = 4
"""The number of event streams unless `GOALD_STREAMS` sets another."""


class OutboundStream(StrEnum):
    """The streams that goald publishes to. The values are stored in the outbox."""

    EXITS = "exits"
    """Commands that end enrollments."""
    NOTICES = "notices"
    """Achievements and changes of workflows."""
    CONTROL = "control"
    """Wakes the shards when a configuration has changed."""


def partition_of(tenant_id: str, contact_id: str, streams: int) -> int:
    """The event stream, of `streams` many, that keeps a contact's events in order."""
    return slot_of(tenant_id, contact_id) % streams
