"""The tags of a contact, found by id and by name."""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from goald.domain.contacts.tags import Tag, tag_key

_Numbers: TypeAlias = dict[str, list[int]]


class TagIndex:
    """Tags in the order in which they were added. An event may list as many tags as a contact has,
    so finding one does not compare it with all others."""

    def __init__(self, tags: Iterable[Tag], *, by_case: bool = False) -> None:
        """`by_case`: see `tag_key`."""
        self._by_case = by_case
        self._tags: dict[int, Tag] = {}
        """By their numbers."""
        self._by_id: _Numbers = {}
        self._by_name: _Numbers = {}
        self._by_name_only: _Numbers = {}
        """Those without an id."""
        self._added = 0
        for tag in tags:
            self.append(tag)

    def __len__(self) -> int:
        return len(self._tags)

    def __getitem__(self, number: int) -> Tag:
        return self._tags[number]

    @property
    def tags(self) -> list[Tag]:
        """The tags, in order."""
        return list(self._tags.values())

    def find(self, tag: Tag) -> int | None:
        """Return the number of the tag with the same id or, if one of them has none, the same name.
        Of several, that of the first."""
        key = None if tag.name is None else tag_key(tag.name, by_case=self._by_case)
        names = self._by_name if tag.id is None else self._by_name_only
        found = [] if key is None else names.get(key, [])
        if tag.id is not None:
            found = [*found, *self._by_id.get(tag.id, [])]
        return min(found, default=None)

    def append(self, tag: Tag) -> None:
        number = self._added
        self._added += 1
        self._tags[number] = tag
        for numbers in self._entries(tag):
            numbers.append(number)

    def replace(self, number: int, tag: Tag) -> None:
        """Give the tag with this number another id or name. It keeps its place."""
        for numbers in self._entries(self._tags[number]):
            numbers.remove(number)
        self._tags[number] = tag
        for numbers in self._entries(tag):
            numbers.append(number)

    def remove(self, number: int) -> None:
        for numbers in self._entries(self._tags.pop(number)):
            numbers.remove(number)

    def _entries(self, tag: Tag) -> Iterator[list[int]]:
        """Yield the lists that have, or will have, the number of this tag."""
        if tag.id is not None:
            yield self._by_id.setdefault(tag.id, [])
        if tag.name is not None:
            name = tag_key(tag.name, by_case=self._by_case)
            yield self._by_name.setdefault(name, [])
            if tag.id is None:
                yield self._by_name_only.setdefault(name, [])
