"""The past of a contact before an event: the tags of its list that are not new (E16), and the state
when an enrollment starts (E22)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from goald.domain.contacts.projection import KEY_CHARS, Contact
from goald.domain.contacts.tags import listed_tags


class KnownState(NamedTuple):
    """The tags and stages of a contact."""

    tags: Sequence[tuple[str | None, str | None]]
    """The id and the name of each tag."""
    stages: Sequence[tuple[str | None, str]]
    """Each pipeline, or None if events do not name it, with the stage in it."""


def old_tags(contact: Contact, data: Mapping[str, Any], event: str) -> list[int]:
    """Return the positions in `tags` of the tags that the contact had before the event. `data` and
    `event`: the data and the key of the event.

    A tag that this event itself has added is new, so that the event has the same meaning when it is
    evaluated again (D1)."""
    old = []
    index = contact.tag_index()
    for at, tag in listed_tags(data):
        found = index.find(tag)
        if found is not None and index[found].added_by != event[:KEY_CHARS]:
            old.append(at)
    return old


def state_of(contact: Contact, started_by: str | None) -> KnownState:
    """Return the state of a contact when an enrollment starts. `started_by`: the key of the event
    that started it; what this event gave does not count (E11)."""
    key = None if started_by is None else started_by[:KEY_CHARS]
    return KnownState(
        [(tag.id, tag.name) for tag in contact.tags if tag.added_by != key],
        [
            (pipeline or None, stage)
            for pipeline, stage in contact.stages.items()
            if key is None or key not in contact.stamps.get(f"stages/{pipeline}", [])[1:]
        ],
    )
