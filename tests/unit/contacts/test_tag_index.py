"""A tag of an event is the same tag of the contact as in a plain comparison with each of them."""

from hypothesis import given
from hypothesis import strategies as st

from goald.domain.contacts.tag_index import TagIndex
from goald.domain.contacts.tags import Tag, tag_key

IDS = st.sampled_from([None, "t-1", "t-2"])
NAMES = st.sampled_from([None, "VIP", " vip", "New"])
TAGS = st.builds(Tag, IDS, NAMES)
STEPS = st.lists(st.tuples(st.sampled_from(["append", "replace", "remove"]), TAGS), max_size=12)


def is_same(first: Tag, other: Tag) -> bool:
    if first.id is not None and other.id is not None:
        return first.id == other.id
    names = (first.name, other.name)
    return None not in names and tag_key(str(names[0])) == tag_key(str(names[1]))


def plain_find(tags: list[Tag], tag: Tag) -> int | None:
    return next((at for at, other in enumerate(tags) if is_same(tag, other)), None)


@given(steps=STEPS, sought=TAGS)
def test_tag_is_the_first_with_its_id_or_without_one_its_name(
    steps: list[tuple[str, Tag]], sought: Tag
) -> None:
    index, plain = TagIndex([]), list[Tag]()
    for step, tag in steps:
        number, at = index.find(tag), plain_find(plain, tag)
        assert (None if at is None else plain[at]) == (None if number is None else index[number])
        if step == "append" or number is None or at is None:
            index.append(tag)
            plain.append(tag)
        elif step == "replace":
            index.replace(number, tag)
            plain[at] = tag
        else:
            index.remove(number)
            del plain[at]

    assert index.tags == plain
    assert len(index) == len(plain)
    number, at = index.find(sought), plain_find(plain, sought)
    assert (None if at is None else plain[at]) == (None if number is None else index[number])
