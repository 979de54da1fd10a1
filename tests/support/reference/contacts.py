"""The projection of one contact: its tags, and its stage in each pipeline (E16, E22).

Each value has the time of the event that gave it. A later time wins; of equal times, the event that
is applied last; a repeated event changes nothing.
"""

import unicodedata
from dataclasses import dataclass, field
from typing import Any

EventId = tuple[str, str]


def comparable(name: str) -> str:
    """Two names of tags are the same if this is the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).strip().casefold())


@dataclass
class Tag:
    id: str | None
    name: str | None
    added_by: EventId

    def is_same(self, id_: str | None, name: str | None) -> bool:
        """Ids are compared if both have one, otherwise names."""
        if self.id is not None and id_ is not None:
            return self.id == id_
        return (
            self.name is not None
            and name is not None
            and (comparable(self.name) == comparable(name))
        )


@dataclass
class Given:
    """When a value was given, and by which events of that time."""

    at_us: int
    by: list[EventId]


@dataclass
class KnownContact:
    tags: list[Tag] = field(default_factory=list)
    stages: dict[str, str] = field(default_factory=dict)
    given: dict[str, Given] = field(default_factory=dict)

    def find(self, id_: str | None, name: str | None) -> Tag | None:
        return next((tag for tag in self.tags if tag.is_same(id_, name)), None)

    def is_new(self, id_: str | None, name: str | None, event: EventId) -> bool:
        """Whether the contact has the tag only since this event, or not at all."""
        tag = self.find(id_, name)
        return tag is None or tag.added_by == event

    def add(self, id_: str | None, name: str | None, at_us: int, event: EventId) -> None:
        if not self._give(_keys(id_, name), at_us, event):
            return
        tag = self.find(id_, name)
        if tag is None:
            self.tags.append(Tag(id_, name, event))
        else:
            tag.id, tag.name = id_ or tag.id, name or tag.name

    def remove(self, id_: str | None, name: str | None, at_us: int, event: EventId) -> None:
        tag = self.find(id_, name)
        keys = _keys(id_, name) | (set() if tag is None else _keys(tag.id, tag.name))
        if self._give(keys, at_us, event) and tag is not None:
            self.tags.remove(tag)

    def move(self, pipeline: str | None, stage: str, at_us: int, event: EventId) -> None:
        if self._give({f"stage {pipeline or ''}"}, at_us, event):
            self.stages[pipeline or ""] = stage

    def stage_is_given_by(self, pipeline: str, event: EventId | None) -> bool:
        return event in self.given[f"stage {pipeline}"].by

    def forget(self, until_us: int) -> None:
        """Forget the values of events until this time."""
        self.given = {key: given for key, given in self.given.items() if given.at_us > until_us}
        self.tags = [tag for tag in self.tags if _keys(tag.id, tag.name) & self.given.keys()]
        self.stages = {
            pipeline: stage
            for pipeline, stage in self.stages.items()
            if f"stage {pipeline}" in self.given
        }

    def _give(self, keys: set[str], at_us: int, event: EventId) -> bool:
        known = [self.given[key] for key in keys if key in self.given]
        if any(at_us < given.at_us or (at_us == given.at_us and event in given.by)
               for given in known):  # fmt: skip
            return False
        for key in keys:
            earlier = self.given.get(key)
            by = earlier.by if earlier is not None and earlier.at_us == at_us else []
            self.given[key] = Given(at_us, [*by, event])
        return True


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


def _keys(id_: str | None, name: str | None) -> set[str]:
    keys = set() if id_ is None else {f"tag #{id_}"}
    return keys if name is None else keys | {f"tag {comparable(name)}"}
