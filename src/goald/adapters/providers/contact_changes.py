"""Changes of the contact: an event on its stream, together with the result."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from goald.domain.actions.gates import ActionType
from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import SUCCESS, encode_event
from goald.domain.contacts.reading import ContactFacts, facts_of
from goald.ports.clock import Clock
from goald.workers.provider import ActionFailed, Enter, Performed

EVENT_TYPES: Final[Mapping[ActionType, str]] = {
    ActionType("add_tag"): "contact.tag.added",
    ActionType("remove_tag"): "contact.tag.removed",
    ActionType("update_contact"): "contact.updated",
}
"""The event that an action publishes."""
MAX_EVENT_BYTES: Final = 256 << 10


class ContactChanges:
    """A `Provider` of the actions in EVENT_TYPES. The event has the job's idempotency key as its
    id, so it takes effect once however often it is published (D1), and a hop count (X14).

    SUCCESS says that every value is acceptable for the shard, and that the event precedes the
    result on the contact's stream, so that the shard evaluates it first (X1). It does not say that
    the change has taken effect: the shard still refuses a value that the contact has no room for,
    and a contact that was deleted meanwhile.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @property
    def is_keyed(self) -> bool:
        return True

    async def perform(self, job: Job, config: Mapping[str, Any], enter: Enter) -> Performed:
        event_type = EVENT_TYPES.get(job.action)
        if event_type is None:
            raise ActionFailed(f"the action {job.action} changes no contact")
        refused = sorted(_refused(config, facts_of(event_type, config)))
        if refused:
            raise ActionFailed(f"the value is not valid: {', '.join(refused)}")
        data = {**config, "contact_id": job.contact_id}
        event = encode_event(job, job.key, event_type, data, self._clock.now_us(), hops=job.hops)
        if len(event) > MAX_EVENT_BYTES:
            raise ActionFailed(f"the change has more than {MAX_EVENT_BYTES:,} bytes")
        await enter()
        return Performed(SUCCESS, effect=event)

    async def close(self) -> None:
        """There is nothing to close."""


def _refused(config: Mapping[str, Any], facts: ContactFacts) -> Iterator[str]:
    """The names of the values that the shard would ignore."""
    attributes = config.get("attributes", {})
    read = {"attributes", *facts.values}
    if facts.added or facts.removed:
        read |= {"tag_id", "tag_name"}
    yield from config.keys() - read
    if isinstance(attributes, Mapping):
        for name in attributes.keys() - facts.attributes.keys():
            yield f"attributes.{name}"
    else:
        yield "attributes"
