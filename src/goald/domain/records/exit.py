"""Exits: commands that end enrollments because their goals are met."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from goald.domain.ids import ContactId, EnrollmentId, TenantId, WorkflowId

EXIT_TYPE: Final = "workflow.exit.goal"
"""The CloudEvents type of an exit."""
EXIT_REASON: Final = "goal_achieved"
CANCEL: Final = ("pending_actions", "wait_steps")
"""The kinds of work that the workflow engine must cancel."""


@dataclass(frozen=True, slots=True)
class TriggerEvent:
    """Identifies the event that met the goal."""

    id: str
    source: str
    type: str


@dataclass(frozen=True, slots=True)
class Exit:
    """The command to end an enrollment.

    It can be published more than once, always with the same `id`.
    """

    id: str
    tenant_id: TenantId
    workflow_id: WorkflowId
    contact_id: ContactId
    enrollment_id: EnrollmentId
    exit_reason: str
    """`goal_achieved`."""
    goal_type: str
    goal_ids: tuple[str, ...]
    """Every goal that the enrollment has met."""
    achieved_at: datetime
    cancel: tuple[str, ...]
    """The kinds of work to cancel: `pending_actions` and `wait_steps`."""
    trigger_event: TriggerEvent
    occurred_at: datetime
    """When the event happened."""
    received_at: datetime
    """When the event reached its stream."""
    published_at: datetime | None
    """When the exit was published."""
    time: datetime
    """When the exit was created."""
    traceparent: str | None
    """The W3C trace context of the event."""
    entry_id: str
    """The id of the entry in `goald:exits`."""

    @classmethod
    def parse(cls, payload: bytes | str, entry_id: str = "") -> Self:
        """Parse the JSON of a stream entry. Ignores unknown fields.

        Raises ValueError if the payload is not an exit.
        """
        try:
            event = json.loads(payload)
            return cls._from_event(event, entry_id)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not an exit: {type(error).__name__} {error}") from error

    @classmethod
    def _from_event(cls, event: Mapping[str, Any], entry_id: str) -> Self:
        if event["type"] != EXIT_TYPE:
            raise ValueError(f"not an exit but {event['type']}")
        data = event["data"]
        trigger = data["trigger_event"]
        published_at = data.get("published_at")
        return cls(
            id=event["id"],
            tenant_id=event["tenantid"],
            workflow_id=data["workflow_id"],
            contact_id=data["contact_id"],
            enrollment_id=data["enrollment_id"],
            exit_reason=data["exit_reason"],
            goal_type=data["goal_type"],
            goal_ids=tuple(data["goal_ids"]),
            achieved_at=datetime.fromisoformat(data["achieved_at"]),
            cancel=tuple(data["cancel"]),
            trigger_event=TriggerEvent(trigger["id"], trigger["source"], trigger["type"]),
            occurred_at=datetime.fromisoformat(data["occurred_at"]),
            received_at=datetime.fromisoformat(data["received_at"]),
            published_at=None if published_at is None else datetime.fromisoformat(published_at),
            time=datetime.fromisoformat(event["time"]),
            traceparent=event.get("traceparent"),
            entry_id=entry_id,
        )
