"""Compiled sources, kept because a compilation takes milliseconds."""

from collections import OrderedDict
from typing import Final

from goald.domain.credentials.sources import SourceEntry, overrides_text
from goald.sources.compiled import Source, compile_source

MAX_KEPT: Final = 256


class CompiledSources:
    """The most recently used sources, by content: sources with the same preset and overrides share
    one, whichever tenant they belong to, because a compiled source has no state and no secret."""

    def __init__(self, max_kept: int = MAX_KEPT) -> None:
        self._max_kept = max_kept
        self._kept: OrderedDict[tuple[str, str], Source] = OrderedDict()
        self._latest: OrderedDict[int, tuple[SourceEntry, Source]] = OrderedDict()
        """The latest entries by their identity, because comparing the overrides of each
        delivery takes time. An entry that is kept keeps its identity."""

    def of(self, entry: SourceEntry) -> Source:
        """Return the source of an entry. Raises as `compile_source` does: for an entry that was
        stored by a release whose presets were others."""
        known, source = self._latest.get(id(entry), (None, None))
        if known is entry and source is not None:
            return source
        source = self._of_content(entry)
        self._latest[id(entry)] = entry, source
        if len(self._latest) > self._max_kept:
            self._latest.popitem(last=False)
        return source

    def _of_content(self, entry: SourceEntry) -> Source:
        key = (entry.preset, overrides_text(entry.overrides))
        source = self._kept.get(key)
        if source is None:
            source = self._kept[key] = compile_source(entry.preset, entry.overrides)
            if len(self._kept) > self._max_kept:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return source
