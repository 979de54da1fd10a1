"""The projection of one contact, and how events change it.

Each value has a stamp: the time of the event that gave it, and the events that gave it at that
time. The event with the latest time wins; of two with the same time, the event that is processed
last. A repeated event changes nothing (D1), and events with different times have the same result in
any order.

An event that is dated ahead has the time of its receipt. If it is sent again, its time is another,
so the stamps of its values keep it until later events are past its date.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from goald.domain.contacts.reading import VALUES, ContactFacts, json_bytes
from goald.domain.contacts.tag_index import TagIndex
from goald.domain.contacts.tags import EXACT_PREFIX, NAME_PREFIX, Tag, tag_key

MAX_ATTRIBUTES: Final = 100
MAX_ATTRIBUTE_BYTES: Final = 8 << 10
"""All attributes of a contact, as JSON."""
MAX_TAGS: Final = 500
MAX_STAGES: Final = 50
MAX_STAMPS: Final = 1_000
"""Stamps of values that a contact no longer has are dropped beyond this, the oldest first."""
MAX_KEYS: Final = 8
"""Events with the same time that a stamp remembers."""
KEY_CHARS: Final = 12

_SEEN, _ATTRIBUTES = "seen", "attributes"
"""The stamps of the newest event, and of the newest event that replaces all attributes."""
_AHEAD = "+"
_TAGS = "tags/"
_EXACT = _TAGS + EXACT_PREFIX


class EventRef(NamedTuple):
    """The event that gives values."""

    time: int
    """Microseconds since the epoch."""
    key: str
    """Identifies the event within its tenant."""
    dated: int = 0
    """The time that the event itself has, if it is dated ahead of its receipt, which is `time`;
    else any earlier time."""

    @property
    def short_key(self) -> str:
        return self.key[:KEY_CHARS]


Stamp = list[Any]
"""The time, then events that gave the value and are dated ahead of it, each as `DATE+KEY`, then the
keys of the events with that time, shortened."""


@dataclass
class Contact:
    """A contact, as its events describe it."""

    email: str | None = None
    phone: str | None = None
    timezone: str | None = None
    opted_in: bool | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    tags: list[Tag] = field(default_factory=list)
    stages: dict[str, str] = field(default_factory=dict)
    """The stage in each pipeline; the pipeline is empty if events do not name it."""
    stamps: dict[str, Stamp] = field(default_factory=dict)
    by_case: bool = field(default=False, compare=False)
    """Whether names of tags are compared with regard to case (`compare_tags`)."""

    def apply(self, facts: ContactFacts, source: EventRef) -> None:
        """Change the contact to what an event gives."""
        self._stamp(_SEEN, source)
        if facts.replaces:
            self._replace(facts, source)
        for name, value in facts.values.items():
            if self._stamp(name, source):
                setattr(self, name, value)
        for name, value in facts.attributes.items():
            self._set_attribute(name, value, source)
        self._change_tags(facts, source)
        for pipeline, stage in facts.stages.items():
            has_room = self._has_room(self.stages, pipeline, MAX_STAGES)
            if has_room and self._stamp(f"stages/{pipeline}", source):
                self.stages[pipeline] = stage
        self._drop_stamps()

    def tag_index(self) -> TagIndex:
        """Return the tags, to be found by id and by name."""
        return TagIndex(self.tags, by_case=self.by_case)

    def compare_tags(self, *, by_case: bool) -> None:
        """Compare names of tags with regard to case from now on, or without. Tags that are the same
        without regard to case become one, whose latest event counts."""
        self.by_case = by_case
        exact = [] if by_case else [path for path in self.stamps if path.startswith(_EXACT)]
        if not exact:
            return
        for path in exact:
            folded, stamp = _folded(path), self.stamps.pop(path)
            other = self.stamps.get(folded, stamp)
            self.stamps[folded] = join_stamps(other, stamp)
        index = TagIndex([])
        for tag in self.tags:
            if (found := index.find(tag)) is None:
                index.append(tag)
            else:
                index.replace(found, _joined(index[found], tag))
        self.tags = index.tags

    def erase(self, deleted_at: int) -> bool:
        """Remove the values that events gave until then. Returns whether nothing is left, so that
        the contact is unknown."""
        old = {path for path, stamp in self.stamps.items() if stamp[0] <= deleted_at}
        for name in VALUES:
            if name in old:
                setattr(self, name, None)
        self.attributes = _without(self.attributes, "attributes/", old)
        self.stages = _without(self.stages, "stages/", old)
        self.tags = [tag for tag in self.tags if not old.issuperset(self._paths(tag))]
        self.stamps = {path: stamp for path, stamp in self.stamps.items() if path not in old}
        return _SEEN in old

    def _replace(self, facts: ContactFacts, source: EventRef) -> None:
        """Remove the addresses, the time zone and the attributes that the event does not give."""
        for name in ("email", "phone", "timezone"):
            if name not in facts.values and self._stamp(name, source):
                setattr(self, name, None)
        if not self._stamp(_ATTRIBUTES, source):
            return
        for name in [*self.attributes]:
            if name not in facts.attributes:
                self._set_attribute(name, None, source)

    def _set_attribute(self, name: str, value: Any, source: EventRef) -> None:
        path = f"attributes/{name}"
        if not self._allows(_ATTRIBUTES, source) and not self._is_last(_ATTRIBUTES, source):
            return
        if value is None:
            if self._stamp(path, source):
                self.attributes.pop(name, None)
            return
        if not self._has_room(self.attributes, name, MAX_ATTRIBUTES):
            return
        if json_bytes(self.attributes | {name: value}) > MAX_ATTRIBUTE_BYTES:
            return
        if self._stamp(path, source):
            self.attributes[name] = value

    def _change_tags(self, facts: ContactFacts, source: EventRef) -> None:
        if not facts.added and not facts.removed:
            return
        index = self.tag_index()
        for tag in facts.added:
            self._add(index, tag, source)
        for tag in facts.removed:
            self._remove(index, tag, source)
        self.tags = index.tags

    def _add(self, index: TagIndex, tag: Tag, source: EventRef) -> None:
        found = index.find(tag)
        if found is None and len(index) >= MAX_TAGS:
            return
        if not self._stamp_all(tag.identifiers(by_case=self.by_case), source):
            return
        if found is None:
            index.append(Tag(tag.id, tag.name, source.key[:KEY_CHARS]))
            return
        index.replace(found, _joined(index[found], tag))

    def _remove(self, index: TagIndex, tag: Tag, source: EventRef) -> None:
        found = index.find(tag)
        keys = {*tag.identifiers(by_case=self.by_case)}
        if found is not None:
            keys |= {*index[found].identifiers(by_case=self.by_case)}
        if self._stamp_all(keys, source) and found is not None:
            index.remove(found)

    def _stamp_all(self, keys: Iterable[str], source: EventRef) -> bool:
        """Stamp the keys of a tag, if an event at this time may change all of them."""
        paths = [_TAGS + key for key in keys]
        if not all(self._allows(path, source) for path in paths):
            return False
        for path in paths:
            self._stamp(path, source)
        return True

    def _stamp_of(self, path: str) -> Stamp | None:
        """The stamp that counts for a value: for the name of a tag that no event has given since
        the tenant distinguishes case, that of the name without regard to case."""
        stamp = self.stamps.get(path)
        if stamp is None and path.startswith(_EXACT):
            return self.stamps.get(_folded(path))
        return stamp

    def _paths(self, tag: Tag) -> list[str]:
        """The paths of the stamps that count for a tag."""
        paths = [_TAGS + key for key in tag.identifiers(by_case=self.by_case)]
        return [
            _folded(path) if path.startswith(_EXACT) and path not in self.stamps else path
            for path in paths
        ]

    def _allows(self, path: str, source: EventRef) -> bool:
        stamp = self._stamp_of(path)
        if stamp is None:
            return True
        if any(ahead.endswith(f"+{source.short_key}") for ahead in ahead_of(stamp)):
            return False  # it was sent again
        if source.time > stamp[0]:
            return True
        return bool(source.time == stamp[0]) and source.short_key not in stamp[1:]

    def _is_last(self, path: str, source: EventRef) -> bool:
        """Whether this event has given the stamp."""
        stamp = self.stamps.get(path)
        return stamp is not None and stamp[0] == source.time and stamp[-1] == source.short_key

    def _stamp(self, path: str, source: EventRef) -> bool:
        """Record that an event gives a value. False if an event with a later time has given it, or
        this event itself."""
        if not self._allows(path, source):
            return False
        stamp, key = self._stamp_of(path) or [0], source.short_key
        keys = [each for each in stamp[1:] if _AHEAD not in each]
        ahead = ahead_of(stamp, source.time)
        if source.dated > source.time:
            ahead.append(f"{source.dated}{_AHEAD}{key}")
        before = keys[-(MAX_KEYS - 1) :] if stamp[0] == source.time else []
        self.stamps[path] = [source.time, *ahead[-MAX_KEYS:], *before, key]
        return True

    def _drop_stamps(self) -> None:
        if len(self.stamps) <= MAX_STAMPS:
            return
        kept = {_SEEN, _ATTRIBUTES, *VALUES}
        kept |= {f"attributes/{name}" for name in self.attributes}
        kept |= {f"stages/{name}" for name in self.stages}
        kept |= {path for tag in self.tags for path in self._paths(tag)}
        others = sorted(self.stamps.keys() - kept, key=lambda path: self.stamps[path][0])
        for path in others[: len(self.stamps) - MAX_STAMPS]:
            del self.stamps[path]

    @staticmethod
    def _has_room(values: Mapping[str, Any], name: str, most: int) -> bool:
        return name in values or len(values) < most


def ahead_of(stamp: Stamp, time: int = 0) -> list[str]:
    """The events of a stamp that are dated ahead, at or after this time."""
    found = [each for each in stamp[1:] if _AHEAD in each]
    return [each for each in found if int(each.partition(_AHEAD)[0]) >= time]


def join_stamps(stamp: Stamp, other: Stamp) -> Stamp:
    """The stamp of a value that has both."""
    latest = max(stamp[0], other[0])
    both = [*stamp[1:], *other[1:]]
    keys = [
        each for of in (stamp, other) if of[0] == latest for each in of[1:] if _AHEAD not in each
    ]
    return [latest, *dict.fromkeys([*ahead_of([latest, *both], latest)[-MAX_KEYS:], *keys])]


def has_tag(contact: Contact, name: str) -> bool:
    """Return whether the contact has a tag with this name."""
    return contact.tag_index().find(Tag(None, name)) is not None


def _joined(old: Tag, new: Tag) -> Tag:
    """Two texts for the same tag as one tag: the newer ones, where both have them."""
    return Tag(new.id or old.id, new.name or old.name, old.added_by)


def _folded(path: str) -> str:
    """The path of the stamp of a name without regard to case."""
    return f"{_TAGS}{NAME_PREFIX}{tag_key(path.removeprefix(_EXACT))}"


def _without(values: Mapping[str, Any], prefix: str, old: set[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if prefix + name not in old}
