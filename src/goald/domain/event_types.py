"""The event types that goald processes."""

from typing import Final

from goald.domain.configuration.goals import LISTENS_TO

PROCESSED_TYPES: Final = frozenset(
    {
        *LISTENS_TO.values(),
        "workflow.enrollment.started",
        "workflow.enrollment.ended",
        "workflow.exit.acknowledged",
        "contact.deleted",
    }
)
"""Events of these types have an effect. Events of other types are counted and ignored."""

KNOWN_WITHOUT_EFFECT: Final = frozenset(
    {"contact.tag.removed", "payment.refunded", "appointment.cancelled"}
)
"""Documented types that no goal listens to: ignored, but not misspelt."""
