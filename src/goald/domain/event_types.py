"""The event types that goald processes."""

from typing import Final

from goald.domain.configuration.goals import LISTENS_TO
from goald.domain.suggestions import nearest

PROCESSED_TYPES: Final = frozenset(
    {
        *LISTENS_TO.values(),
        "workflow.enrollment.started",
        "workflow.enrollment.ended",
        "workflow.exit.acknowledged",
        "contact.deleted",
        "payment.refunded",
        "appointment.cancelled",
        "contact.updated",
        "contact.merged",
        "contact.tag.removed",
    }
)
"""Events of these types have an effect. Events of other types are counted and ignored."""

RESERVED_PREFIXES: Final = (
    "workflow.action.",
    "workflow.timer.",
    "workflow.execution.",
    "workflow.transfer.",
)
"""Types that only goald sends (X13): they move executions and contacts without further checks."""


def is_reserved(event_type: str) -> bool:
    """Return whether only goald sends events of this type."""
    return event_type.startswith(RESERVED_PREFIXES)


def nearest_type(event_type: str) -> str | None:
    """Return the processed type that is most similar to a type that is probably misspelt; None
    for a known type, and if none is similar."""
    if event_type in PROCESSED_TYPES:
        return None
    return nearest(event_type, sorted(PROCESSED_TYPES))


def ignored(event_type: str) -> str:
    """The message that goald ignores events of this type, with the type that was probably meant."""
    near = nearest_type(event_type)
    question = f" Did you mean {near}?" if near else ""
    return f"goald ignores events of type {event_type}.{question}"
