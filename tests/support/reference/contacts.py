"""The projection of one contact: its tags, and its stage in each pipeline (E16, E22).

Each value has the time of the event that gave it. A later time wins; of equal times, the event that
is applied last; a repeated event changes nothing.

While names of tags are compared without regard to case, all spellings of a name have one time. When
a tenant begins to distinguish case, a spelling keeps this time until an event gives the spelling
itself. When the tenant ends that, the latest time of all spellings counts, and tags that become the
same are one tag.
"""

import unicodedata
from dataclasses import dataclass, field
from typing import Any, NamedTuple

EventId = tuple[str, str]

WHITE_SPACE = "".join(
    char for char in map(chr, range(0x3001)) if char.isspace() and char not in "\x1c\x1d\x1e\x1f"
)
"""The characters of the Unicode property White_Space."""


def comparable(name: str, by_case: bool = False) -> str:
    """Two names of tags are the same if this is the same."""
    exact = unicodedata.normalize("NFC", name).strip(WHITE_SPACE)
    return exact if by_case else unicodedata.normalize("NFC", exact.casefold())


@dataclass
class Tag:
    id: str | None
    name: str | None
    added_by: EventId

    def is_same(self, id_: str | None, name: str | None, by_case: bool) -> bool:
        """Ids are compared if both have one, otherwise names."""
        if self.id is not None and id_ is not None:
            return self.id == id_
        return (
            self.name is not None
            and name is not None
            and (comparable(self.name, by_case) == comparable(name, by_case))
        )


@dataclass
class Given:
    """When a value was given, and by which events of that time."""

    at_us: int
    by: list[EventId]
    ahead: dict[EventId, int] = field(default_factory=dict)
    """Events that gave it, and are dated at or after that time."""

    def join(self, other: "Given | None") -> "Given":
        """When the value was given that both stand for."""
        if other is None:
            return self
        at_us = max(self.at_us, other.at_us)
        by = [each for given in (other, self) if given.at_us == at_us for each in given.by]
        ahead = {**other.ahead, **self.ahead}
        return Given(at_us, by, {of: dated for of, dated in ahead.items() if dated >= at_us})


class Key(NamedTuple):
    """Identifies a value."""

    text: str
    """Without regard to case."""
    name: str | None = None
    """Of a tag that is named."""


@dataclass
class KnownContact:
    tags: list[Tag] = field(default_factory=list)
    stages: dict[str, str] = field(default_factory=dict)
    given: dict[str, Given] = field(default_factory=dict)
    spelled: dict[str, Given] = field(default_factory=dict)
    """By the exact name of a tag, since names are compared with regard to case."""
    by_case: bool = False

    def distinguish(self, by_case: bool) -> None:
        """Compare names of tags with regard to case, or no longer."""
        self.by_case = by_case
        if by_case:
            return
        for name, given in self.spelled.items():
            key = f"tag {comparable(name)}"
            self.given[key] = given.join(self.given.get(key))
        self.spelled = {}
        tags, self.tags = self.tags, []
        for tag in tags:
            same = self.find(tag.id, tag.name)
            if same is None:
                self.tags.append(tag)
            else:
                same.id, same.name = tag.id or same.id, tag.name or same.name

    def continue_as(self, other: "KnownContact") -> None:
        """Give everything that is known to another contact (E21): of two values the later one, and
        tags of both."""
        for tag in self.tags:
            if other.find(tag.id, tag.name) is None:
                other.tags.append(tag)
        for pipeline, stage in self.stages.items():
            given, known = self.given.get(f"stage {pipeline}"), other.given.get(f"stage {pipeline}")
            if given is not None and (known is None or given.at_us > known.at_us):
                other.stages[pipeline] = stage
        for mine, theirs in ((self.given, other.given), (self.spelled, other.spelled)):
            for key, given in mine.items():
                theirs[key] = given.join(theirs.get(key))

    def find(self, id_: str | None, name: str | None) -> Tag | None:
        return next((tag for tag in self.tags if tag.is_same(id_, name, self.by_case)), None)

    def is_new(self, id_: str | None, name: str | None, event: EventId) -> bool:
        """Whether the contact has the tag only since this event, or not at all."""
        tag = self.find(id_, name)
        return tag is None or tag.added_by == event

    def add(
        self, id_: str | None, name: str | None, at_us: int, event: EventId, dated_us: int
    ) -> None:
        if not self._give(_keys(id_, name), at_us, event, dated_us):
            return
        tag = self.find(id_, name)
        if tag is None:
            self.tags.append(Tag(id_, name, event))
        else:
            tag.id, tag.name = id_ or tag.id, name or tag.name

    def remove(
        self, id_: str | None, name: str | None, at_us: int, event: EventId, dated_us: int
    ) -> None:
        tag = self.find(id_, name)
        keys = _keys(id_, name) | (set() if tag is None else _keys(tag.id, tag.name))
        if self._give(keys, at_us, event, dated_us) and tag is not None:
            self.tags.remove(tag)

    def move(
        self, pipeline: str | None, stage: str, at_us: int, event: EventId, dated_us: int
    ) -> None:
        if self._give({Key(f"stage {pipeline or ''}")}, at_us, event, dated_us):
            self.stages[pipeline or ""] = stage

    def stage_is_given_by(self, pipeline: str, event: EventId | None) -> bool:
        return event in self.given[f"stage {pipeline}"].by

    def forget(self, until_us: int) -> None:
        """Forget the values of events until this time."""
        self.tags = [
            tag
            for tag in self.tags
            if any(
                given is not None and given.at_us > until_us
                for given in map(self._given, _keys(tag.id, tag.name))
            )
        ]
        for values in (self.given, self.spelled):
            for key in [key for key, given in values.items() if given.at_us <= until_us]:
                del values[key]
        self.stages = {
            pipeline: stage
            for pipeline, stage in self.stages.items()
            if f"stage {pipeline}" in self.given
        }

    def _give(self, keys: set[Key], at_us: int, event: EventId, dated_us: int) -> bool:
        known = [given for given in map(self._given, keys) if given is not None]
        if any(event in given.ahead for given in known):
            return False  # sent again, and received at another time
        if any(at_us < given.at_us or (at_us == given.at_us and event in given.by)
               for given in known):  # fmt: skip
            return False
        for key in keys:
            earlier = self._given(key)
            by = earlier.by if earlier is not None and earlier.at_us == at_us else []
            values, name = (
                (self.spelled, comparable(key.name, by_case=True))
                if key.name is not None and self.by_case
                else (self.given, key.text)
            )
            ahead = {} if earlier is None else dict(earlier.ahead)
            ahead |= {event: dated_us} if dated_us > at_us else {}
            ahead = {each: dated for each, dated in ahead.items() if dated >= at_us}
            values[name] = Given(at_us, [*by, event], ahead)
        return True

    def _given(self, key: Key) -> Given | None:
        spelled = None
        if key.name is not None and self.by_case:
            spelled = self.spelled.get(comparable(key.name, by_case=True))
        return spelled or self.given.get(key.text)


def tags_in(data: dict[str, Any]) -> list[tuple[str | None, str | None]]:
    """The tag of an event, if it has one, and then those of its list: id and name."""
    found = [(data.get("tag_id"), data.get("tag_name")), *listed(data)]
    return [(id_, name) for id_, name in found if id_ is not None or name is not None]


def listed(data: dict[str, Any]) -> list[tuple[str | None, str | None]]:
    """The tags in `tags`: names, or maps with an id, a name or both."""
    items = data.get("tags") or []
    found = [
        (item.get("tag_id"), item.get("tag_name")) if isinstance(item, dict) else (None, item)
        for item in items
    ]
    return [(id_, name) for id_, name in found if id_ is not None or name is not None]


def _keys(id_: str | None, name: str | None) -> set[Key]:
    keys = set() if id_ is None else {Key(f"tag #{id_}")}
    return keys if name is None else keys | {Key(f"tag {comparable(name)}", name)}
