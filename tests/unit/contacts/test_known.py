"""The tags and the state that a contact had before an event or an enrollment."""

from typing import Any

from goald.domain.contacts.known import KnownState, old_tags, state_of
from goald.domain.contacts.projection import Contact, EventRef
from goald.domain.contacts.reading import facts_of

ADDED, REMOVED = "contact.tag.added", "contact.tag.removed"
FIRST, SECOND = "11111111-first", "22222222-second"


def contact_after(*events: tuple[str, int, str, dict[str, Any]]) -> Contact:
    contact = Contact()
    for kind, at, key, data in events:
        contact.apply(facts_of(kind, data), EventRef(at, key))
    return contact


def test_listed_tags_that_the_contact_had_are_old_in_any_spelling() -> None:
    contact = contact_after((ADDED, 1, FIRST, {"tags": ["VIP", {"tag_id": "t-1"}]}))
    listed = ["new", " vip", None, {"tag_id": "t-1", "tag_name": "other"}, {"tag_id": "t-2"}, 5]
    assert old_tags(contact, {"tags": listed}, SECOND) == [1, 3]
    assert old_tags(contact, {"tag_name": "VIP"}, SECOND) == []


def test_tag_stays_new_for_the_event_that_added_it() -> None:
    again = {"tags": ["VIP"]}
    contact = contact_after((ADDED, 1, FIRST, again), (ADDED, 2, SECOND, again))
    assert old_tags(contact, again, FIRST) == []
    assert old_tags(contact, again, SECOND) == [0]


def test_tag_that_was_removed_is_new() -> None:
    data = {"tags": ["VIP"]}
    contact = contact_after((ADDED, 1, FIRST, data), (REMOVED, 2, SECOND, {"tag_name": "vip"}))
    assert old_tags(contact, data, "33333333-third") == []


def test_state_is_without_what_the_starting_event_gave() -> None:
    contact = contact_after(
        (ADDED, 1, FIRST, {"tag_id": "t-1", "tag_name": "VIP"}),
        ("pipeline.stage.changed", 1, FIRST, {"pipeline_id": "p", "stage_id": "won"}),
        (ADDED, 2, SECOND, {"tag_name": "Lead"}),
        ("pipeline.stage.changed", 2, SECOND, {"stage_id": "new"}),
    )
    tags, stages = [("t-1", "VIP"), (None, "Lead")], [("p", "won"), (None, "new")]
    assert state_of(contact, None) == KnownState(tags, stages)
    assert state_of(contact, FIRST) == KnownState(tags[1:], stages[1:])
    assert state_of(Contact(), FIRST) == KnownState([], [])
