"""Lists, replays and purges dead letters (D4)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from goald.domain.errors import NotFound
from goald.operations.events import tenant_of, type_of
from goald.ports.dead_letters import DeadLetterStore, StoredDeadLetter

PAGE = 500


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Which dead letters to list. A criterion that is None accepts every dead letter."""

    tenant: str | None = None
    event_type: str | None = None

    def accepts(self, dead_letter: StoredDeadLetter) -> bool:
        """Whether the event has this tenant and type. An event that cannot be read has neither."""
        if self.tenant is not None and tenant_of(dead_letter.event) != self.tenant:
            return False
        return self.event_type is None or type_of(dead_letter.event) == self.event_type


@dataclass(frozen=True, slots=True)
class DeadLetterPage:
    """Some dead letters in order."""

    dead_letters: Sequence[StoredDeadLetter]
    stored: int
    """The number of dead letters in `goald:dead`, regardless of the filter."""
    next_after: str | None
    """The `after` of the next page; None if this page is the last."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """The result of `replay`."""

    count: int
    not_found: Sequence[str]
    """Ids that `goald:dead` does not hold."""


class DeadLetterService:
    """The dead letters of one goald. Every method may raise ServiceUnavailable."""

    def __init__(self, store: DeadLetterStore) -> None:
        self._store = store

    async def page(
        self,
        limit: int,
        accept: DeadLetterFilter,
        *,
        after: str | None = None,
        newest_first: bool = False,
    ) -> DeadLetterPage:
        """At most `limit` dead letters that follow the id `after`. A filter reads through
        `goald:dead` until it has found as many. Raises NotFound if `after` is not an id."""
        found: list[StoredDeadLetter] = []
        while len(found) <= limit:
            size = min(PAGE, limit + 1) if accept == DeadLetterFilter() else PAGE
            page = await self._store.page(size, after=after, newest_first=newest_first)
            if not page:
                break
            after = page[-1].id
            found += filter(accept.accepts, page)
        has_more = len(found) > limit
        found = found[:limit]
        return DeadLetterPage(found, await self._store.count(), found[-1].id if has_more else None)

    async def get(self, dead_letter_id: str) -> StoredDeadLetter:
        """One dead letter. Raises NotFound."""
        return await self._store.get(dead_letter_id)

    async def replay(self, dead_letter_ids: Iterable[str]) -> Replayed:
        """Send these to their streams again and delete them. An event that fails again becomes
        a new dead letter."""
        count = 0
        not_found = []
        for dead_letter_id in dead_letter_ids:
            try:
                await self._store.replay(dead_letter_id)
            except NotFound:
                not_found.append(dead_letter_id)
            else:
                count += 1
        return Replayed(count, not_found)

    async def replay_all(self) -> int:
        """Replay the dead letters that exist now, each once, and return their number. Skips dead
        letters that another process deletes meanwhile."""
        return (await self.replay(await self._ids())).count

    async def purge(self, *, limit: int | None = None, older_than_us: int | None = None) -> int:
        """Delete dead letters, oldest first; see `DeadLetterStore.purge`."""
        return await self._store.purge(limit=limit, older_than_us=older_than_us)

    async def _ids(self) -> list[str]:
        """The ids up to the newest one at the start: events that fail again are not included."""
        newest = await self._store.page(1, newest_first=True)
        ids: list[str] = []
        while newest:
            page = await self._store.page(PAGE, after=ids[-1] if ids else None)
            for dead_letter in page:
                ids.append(dead_letter.id)
                if dead_letter.id == newest[0].id:
                    return ids
            if not page:
                break
        return ids
