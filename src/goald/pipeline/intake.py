"""Intake: what comes by HTTP, told into its events and checked before it is published.

What is taken here goes through `route` and `evaluate` as it is: nothing that a caller was told
was taken ends in goald:dead for what it holds (D4).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from goald import _native
from goald.domain.errors import InvalidEvent


@dataclass(frozen=True, slots=True)
class TakenEvent:
    """An event to be published: its contact, and its bytes."""

    contact: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class RefusedEvent:
    """An event that its producer has to mend. `id` is its own, where it can be read."""

    index: int
    id: str | None
    reason: str
    is_anothers: bool
    """Nothing is wrong with it but that it names another tenant."""


@dataclass(frozen=True, slots=True)
class Intake:
    """What a body held, in order."""

    is_list: bool
    taken: Sequence[TakenEvent]
    refused: Sequence[RefusedEvent]


def intake(body: bytes, tenant: str, now_us: int) -> Intake:
    """Take the events of one tenant's request: a JSON object, or a list of up to 1,000.

    An event without `tenantid` gets this tenant's; one that names another is refused (D8).
    Raises InvalidEvent, saying why, where the body is neither. Does not block.
    """
    try:
        found = _native.intake(body, tenant, now_us)
    except ValueError as error:
        raise InvalidEvent(str(error)) from None
    others = set(found.of_others)
    return Intake(
        is_list=found.is_list,
        taken=[TakenEvent(contact, payload) for _, contact, payload in found.taken],
        refused=[
            RefusedEvent(index, event_id, reason, index in others)
            for index, event_id, reason in found.refused
        ],
    )
