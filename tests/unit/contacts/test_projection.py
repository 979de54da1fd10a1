"""How events change the projection of a contact: the latest wins, and repeats change nothing."""

from dataclasses import replace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from goald.domain.contacts.projection import (
    MAX_ATTRIBUTES,
    MAX_STAMPS,
    MAX_TAGS,
    Contact,
    EventRef,
    has_tag,
)
from goald.domain.contacts.reading import facts_of
from goald.domain.contacts.stored import columns_of, contact_of
from goald.domain.contacts.tags import Tag

Event = tuple[str, int, str, dict[str, Any]]

NAMES = st.sampled_from(["VIP", "vip", " Vip", "New"])
DATA: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "contact.updated": st.fixed_dictionaries(
        {},
        optional={
            "email": st.sampled_from([None, "a@example.com", "b@example.com"]),
            "opted_in": st.sampled_from([None, True, False]),
            "attributes": st.dictionaries(
                st.sampled_from("ab"), st.sampled_from([None, 1, "x"]), max_size=2
            ),
            "replace": st.booleans(),
        },
    ),
    "contact.tag.added": st.fixed_dictionaries({}, optional={"tag_name": NAMES}),
    "contact.tag.removed": st.fixed_dictionaries({}, optional={"tag_name": NAMES}),
    "pipeline.stage.changed": st.fixed_dictionaries({"stage_id": st.sampled_from("xy")}),
}
EVENTS = st.lists(
    st.sampled_from(sorted(DATA)).flatmap(lambda kind: st.tuples(st.just(kind), DATA[kind])),
    max_size=8,
)


def project(events: list[Event]) -> Contact:
    contact = Contact()
    for kind, at, key, data in events:
        contact.apply(facts_of(kind, data), EventRef(at, key))
    return contact


def visible(contact: Contact) -> Contact:
    """Without the stamps, and without regard to the order and the spelling of tags."""
    tags = sorted(key for tag in contact.tags for key in tag.identifiers())
    return replace(contact, stamps={}, tags=[Tag(None, key) for key in tags])


@given(events=EVENTS, order=st.randoms(use_true_random=False))
def test_order_and_repeats_of_events_with_different_times_do_not_matter(
    events: list[tuple[str, dict[str, Any]]], order: Any
) -> None:
    timed: list[Event] = [(kind, at, f"key-{at}", data) for at, (kind, data) in enumerate(events)]
    shuffled = [*timed, *timed]
    order.shuffle(shuffled)

    assert visible(project(shuffled)) == visible(project(timed))


@example(
    events=[
        ("contact.updated", {"replace": True}),
        ("contact.updated", {"attributes": {"plan": "pro"}}),
    ],
    again=[0],
)
@given(events=EVENTS, again=st.lists(st.integers(0, 7), max_size=4))
def test_of_events_with_one_time_the_last_wins_and_repeats_change_nothing(
    events: list[tuple[str, dict[str, Any]]], again: list[int]
) -> None:
    timed: list[Event] = [(kind, 7, f"key-{n}", data) for n, (kind, data) in enumerate(events)]
    repeated = [timed[n] for n in again if n < len(timed)]

    assert visible(project([*timed, *repeated])) == visible(project(timed))


@example(
    events=[
        ("contact.tag.added", {"tag_name": "vip"}),
        ("contact.tag.removed", {"tag_name": "vip"}),
    ],
    ahead=[100, 0],
    again=[0],
)
@given(
    events=EVENTS,
    ahead=st.lists(st.sampled_from([0, 0, 3, 100]), min_size=8, max_size=8),
    again=st.lists(st.integers(0, 7), max_size=4),
)
def test_events_that_are_dated_ahead_and_sent_again_change_nothing(
    events: list[tuple[str, dict[str, Any]]], ahead: list[int], again: list[int]
) -> None:
    contact, repeated = Contact(), Contact()
    received = [*enumerate(range(len(events)), 1)]
    received += [(20 + at, number) for at, number in enumerate(again) if number < len(events)]
    for at, number in received:
        kind, data = events[number]
        dated = 1 + number + ahead[number]
        source = EventRef(min(at, dated), f"key-{number}", dated)
        for of in (contact, repeated) if at < 20 else (repeated,):
            of.apply(facts_of(kind, data), source)

    assert visible(repeated) == visible(contact)


@given(events=EVENTS, deleted_at=st.integers(-1, 8))
def test_erasure_leaves_what_later_events_gave_alone(
    events: list[tuple[str, dict[str, Any]]], deleted_at: int
) -> None:
    timed: list[Event] = [(kind, at, f"key-{at}", data) for at, (kind, data) in enumerate(events)]
    contact = project(timed)
    is_unknown = contact.erase(deleted_at)
    later = [event for event in timed if event[1] > deleted_at]

    assert is_unknown is not bool(later) or not events
    assert visible(contact) == visible(project(later))


@given(events=EVENTS)
def test_stored_contact_comes_back(events: list[tuple[str, dict[str, Any]]]) -> None:
    contact = project([(kind, at, f"key-{at}", data) for at, (kind, data) in enumerate(events)])

    assert contact_of(columns_of(contact)) == contact


def test_tag_is_found_by_id_and_by_name_in_any_spelling() -> None:
    added: Event = ("contact.tag.added", 1, "k-1", {"tag_id": "t-1", "tag_name": "Stra\u00dfe "})
    assert has_tag(project([added]), "STRASSE")
    for data in ({"tag_id": "t-1"}, {"tag_name": "strasse"}, {"tags": ["other", " STRASSE"]}):
        assert project([added, ("contact.tag.removed", 2, "k-2", data)]).tags == []
    two = ("contact.tag.added", 2, "k-2", {"tag_id": "t-2", "tag_name": "Strasse"})
    assert len(project([added, two]).tags) == 2


def test_a_tag_has_no_spaces_around_its_name_and_keeps_those_of_its_id() -> None:
    data = {"tag_id": " t-1 ", "tag_name": " Big  spender\u00a0"}
    for each in (data, {"tags": [data]}):
        assert project([("contact.tag.added", 1, "k-1", each)]).tags == [
            Tag(" t-1 ", "Big  spender", "k-1")
        ]
    listed: Event = ("contact.tag.added", 1, "k-1", {"tags": ["VIP ", "\tvip"]})
    assert [tag.name for tag in project([listed]).tags] == ["VIP"]


def test_tenant_may_distinguish_tags_by_case() -> None:
    contact = Contact(by_case=True)
    contact.apply(facts_of("contact.tag.added", {"tags": ["VIP", "vip"]}), EventRef(1, "k-1"))
    assert [tag.name for tag in contact.tags] == ["VIP", "vip"]
    assert not has_tag(contact, "Vip")
    contact.apply(facts_of("contact.tag.removed", {"tag_name": " VIP"}), EventRef(3, "k-3"))
    assert [tag.name for tag in contact.tags] == ["vip"]
    contact.apply(facts_of("contact.tag.added", {"tag_name": "VIP"}), EventRef(2, "k-2"))
    assert [tag.name for tag in contact.tags] == ["vip"]
    contact.erase(1)
    assert contact.tags == []


def test_tags_that_differ_in_case_only_become_one_when_case_no_longer_counts() -> None:
    contact = Contact(by_case=True)
    contact.apply(facts_of("contact.tag.added", {"tags": ["VIP", "New"]}), EventRef(1, "k-1"))
    contact.apply(facts_of("contact.tag.added", {"tag_name": "vip"}), EventRef(5, "k-5"))
    contact.compare_tags(by_case=False)
    assert [tag.name for tag in contact.tags] == ["vip", "New"]
    contact.apply(facts_of("contact.tag.removed", {"tag_name": "Vip"}), EventRef(4, "k-4"))
    assert has_tag(contact, "VIP"), "a later event gave one of its spellings"
    contact.apply(facts_of("contact.tag.removed", {"tag_name": "Vip"}), EventRef(6, "k-6"))
    assert [tag.name for tag in contact.tags] == ["New"]


def test_late_event_restores_no_tag_that_was_removed_before_case_counted() -> None:
    contact = Contact()
    contact.apply(facts_of("contact.tag.removed", {"tag_name": "VIP"}), EventRef(5, "k-5"))
    contact.compare_tags(by_case=True)
    contact.apply(facts_of("contact.tag.added", {"tag_name": "vip"}), EventRef(4, "k-4"))
    assert contact.tags == []
    contact.apply(facts_of("contact.tag.added", {"tag_name": "vip"}), EventRef(6, "k-6"))
    assert [tag.name for tag in contact.tags] == ["vip"]


@given(events=EVENTS, by_case=st.lists(st.booleans(), max_size=8))
def test_contact_of_any_history_of_the_setting_has_each_tag_once(
    events: list[tuple[str, dict[str, Any]]], by_case: list[bool]
) -> None:
    contact = Contact()
    for at, (kind, data) in enumerate(events):
        contact.compare_tags(by_case=at < len(by_case) and by_case[at])
        contact.apply(facts_of(kind, data), EventRef(at, f"key-{at}"))
        keys = [key for tag in contact.tags for key in tag.identifiers(by_case=contact.by_case)]
        assert len(keys) == len({*keys})
    contact.erase(len(events))
    assert (contact.tags, contact.stamps) == ([], {})


def test_one_contact_cannot_grow_without_bound() -> None:
    contact = Contact()
    for at in range(MAX_TAGS + 200):  # more than MAX_STAMPS values
        given_data = {"attributes": {f"a{at}": "x" * 100}}
        contact.apply(facts_of("contact.updated", given_data), EventRef(at, f"k-{at}"))
        contact.apply(
            facts_of("contact.tag.added", {"tag_name": f"t{at}"}), EventRef(at, f"t-{at}")
        )
        removed = {"tags": [f"r{at}"]}
        contact.apply(facts_of("contact.tag.removed", removed), EventRef(at, f"r-{at}"))

    assert len(contact.attributes) <= MAX_ATTRIBUTES
    assert len(contact.tags) == MAX_TAGS
    assert len(contact.stamps) <= MAX_STAMPS
    assert len(columns_of(contact).attributes) <= 9_000
