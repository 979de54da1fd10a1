"""Changes of the contact: an event on its stream, together with the result."""

from collections.abc import Mapping
from typing import Any, Final

from goald.domain.actions.gates import ActionType
from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import SUCCESS, encode_event
from goald.ports.clock import Clock
from goald.workers.provider import ActionFailed, Enter, Performed

EVENT_TYPES: Final[Mapping[ActionType, str]] = {
    ActionType("add_tag"): "contact.tag.added",
    ActionType("remove_tag"): "contact.tag.removed",
    ActionType("update_contact"): "contact.updated",
}
"""The event that an action publishes."""


class ContactChanges:
    """A `Provider` of the actions in EVENT_TYPES. The event has the job's idempotency key as its
    id, so it takes effect once however often it is published (D1), and a hop count (X14)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @property
    def is_keyed(self) -> bool:
        return True

    async def perform(self, job: Job, config: Mapping[str, Any], enter: Enter) -> Performed:
        event_type = EVENT_TYPES.get(job.action)
        if event_type is None:
            raise ActionFailed(f"the action {job.action} changes no contact")
        await enter()
        data = {**config, "contact_id": job.contact_id}
        event = encode_event(job, job.key, event_type, data, self._clock.now_us(), hops=job.hops)
        return Performed(SUCCESS, effect=event)

    async def close(self) -> None:
        """There is nothing to close."""
