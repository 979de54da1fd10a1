"""Tags as events name them, and how their names are compared (E16)."""

import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from goald.domain.ids import id_text

MAX_TAG_CHARS: Final = 256
ID_PREFIX: Final = "#"
NAME_PREFIX: Final = "="
EXACT_PREFIX: Final = "@"
"""Start the keys of tags: that of an id, that of a name without regard to case, and that of a name
with regard to case."""
WHITE_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    "\u200a\u2028\u2029\u202f\u205f\u3000"
)
"""The characters of the Unicode property White_Space, which the matcher trims. `str.strip` without
an argument also removes the separators U+001C to U+001F."""


class Tag(NamedTuple):
    """A tag, by its id, its name or both."""

    id: str | None
    name: str | None
    added_by: str = ""
    """The event that added it: the first characters of its key. Empty if it is not stored."""

    def identifiers(self, *, by_case: bool = False) -> list[str]:
        """Return the texts that identify the tag: events may give only one of them. `by_case`: see
        `tag_key`."""
        prefix = EXACT_PREFIX if by_case else NAME_PREFIX
        keys = [] if self.name is None else [prefix + tag_key(self.name, by_case=by_case)]
        return keys if self.id is None else [*keys, ID_PREFIX + self.id]


@lru_cache(10_000)
def tag_key(name: str, *, by_case: bool = False) -> str:
    """Return the text by which names of tags are compared: NFC, without spaces around it, and
    without regard to case unless the tenant distinguishes names by case."""
    exact = unicodedata.normalize("NFC", name).strip(WHITE_SPACE)
    return exact if by_case else unicodedata.normalize("NFC", exact.casefold())


def tags_of(data: Mapping[str, Any]) -> Iterator[Tag]:
    """Yield the tags of an event: that of `tag_id` and `tag_name`, then those of `tags`, each a
    name or an object with `tag_id` and `tag_name`. Names are without white space around them, which
    distinguishes no tags; ids are exact. Other values are left out."""
    yield from _tag(data)
    for _, tag in listed_tags(data):
        yield tag


def listed_tags(data: Mapping[str, Any]) -> Iterator[tuple[int, Tag]]:
    """Yield the tags in `tags` of an event, each with its position in the list."""
    listed = data.get("tags")
    for at, item in enumerate(listed if isinstance(listed, list) else ()):
        for tag in _tag(item if isinstance(item, dict) else {"tag_name": item}):
            yield at, tag


def _tag(data: Mapping[str, Any]) -> Iterator[Tag]:
    id_, name = _text(id_text(data.get("tag_id"))), _text(data.get("tag_name"))
    if id_ is not None or name is not None:
        yield Tag(id_, None if name is None else name.strip(WHITE_SPACE))


def _text(value: Any) -> str | None:
    if not isinstance(value, str) or not value.strip(WHITE_SPACE) or len(value) > MAX_TAG_CHARS:
        return None
    return value
