"""The effects of a change as columns for the statements of a commit."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from goald.adapters.postgres.shard.erasure import Contact, new_pseudonym
from goald.domain.configuration.goals import TYPE_BITS
from goald.domain.records.erasure import Tombstone
from goald.ports.change import EFFECTIVE, EXCLUDES, AchievementColumns, EffectColumns


class Effects:
    """The columns of a change's effects, in the types that the statements expect, and which effects
    have changed a row.

    `met_goals` holds Postgres array literals. `last_achieved` and `met_types` come from the
    achievements of each effect (E6, E9).
    """

    def __init__(self, effects: EffectColumns, achievements: AchievementColumns) -> None:
        self.tenant = effects.tenant_id
        self.enrollment = effects.enrollment_id
        self.contact = effects.contact_id
        self.workflow = effects.workflow_id
        self.slot = effects.slot
        self.is_new = effects.is_new
        self.after_end = effects.after_end
        self.status = effects.status
        self.enrolled_at = effects.enrolled_at
        self.ended_at = effects.ended_at
        self.met_goals = [array_literal(goals) for goals in effects.met_goals]
        self.pending_actions = effects.pending_actions
        self.started_by = effects.started_by
        self.match_values = effects.match_values
        self.received_at = list(effects.received_at)
        self.merges = [merges_literal(merges) for merges in effects.merges]
        self.last_achieved: list[int | None] = [None] * len(effects)
        self.met_types = [0] * len(effects)
        for i, goal_type, at in zip(
            achievements.effect, achievements.goal_type, achievements.achieved_at, strict=True
        ):
            before = self.last_achieved[i]
            self.last_achieved[i] = at if before is None else max(before, at)
            self.met_types[i] |= TYPE_BITS[goal_type]
        self.effective = bytearray(len(effects))

    def began_at(self, i: int) -> int:
        """When an enrollment began: at the latest when its start was received."""
        received_at = self.received_at[i]
        return self.enrolled_at[i] if received_at is None else received_at

    def new_contacts(self) -> Iterator[Contact]:
        """The contacts of the effects that insert an enrollment."""
        for i, is_new in enumerate(self.is_new):
            if is_new:
                yield self.tenant[i], self.contact[i]

    def stored_contacts(self, deleted: Mapping[Contact, Tombstone]) -> Sequence[str]:
        """The contacts to store: a pseudonym if a contact was deleted and only the end of an
        enrollment is known, because it may have begun before the deletion."""
        if not deleted:
            return self.contact
        return [
            tombstone.pseudonym or new_pseudonym()
            if (tombstone := deleted.get((self.tenant[i], contact))) is not None
            and self.enrolled_at[i] == self.ended_at[i]
            and self.received_at[i] is None
            and self.met_goals[i] == "{}"
            else contact
            for i, contact in enumerate(self.contact)
        ]

    def mark_inserted(self, indexes: Iterable[int], rows: Sequence[Any]) -> list[int]:
        """As `mark_effective`, for rows (tenant, id, excludes)."""
        excluding = {(tenant, id_) for tenant, id_, excludes in rows if excludes}
        indexes = list(indexes)
        rest = self.mark_effective(indexes, ((tenant, id_) for tenant, id_, _ in rows))
        for i in indexes if excluding else ():
            if (self.tenant[i], self.enrollment[i]) in excluding and self.effective[i]:
                self.effective[i] |= EXCLUDES
        return rest

    def mark_updated(self, indexes: Sequence[int], rows: Sequence[Any]) -> list[int]:
        """As `mark_effective`, for rows (tenant, id, time of receipt), which memory lacks."""
        received_at = {(tenant, id_): at for tenant, id_, at in rows if at is not None}
        for i in indexes if received_at else ():
            self.received_at[i] = received_at.get((self.tenant[i], self.enrollment[i]))
        return self.mark_effective(indexes, ((tenant, id_) for tenant, id_, _ in rows))

    def mark_effective(self, indexes: Iterable[int], rows: Iterable[Any]) -> list[int]:
        """Mark the effects with a returned row (tenant, id). Returns the other `indexes`."""
        index_of = {(self.tenant[i], self.enrollment[i]): i for i in indexes}
        for tenant, enrollment in rows:
            self.effective[index_of.pop((tenant, enrollment))] = EFFECTIVE
        return list(index_of.values())


def array_literal(ids: Sequence[str]) -> str:
    """UUIDs as a Postgres array literal: `{}` or `{a,b}`. (asyncpg has no way to send an array
    for each element of an array.)"""
    return f"{{{','.join(ids)}}}"


def merges_literal(merges: Sequence[int]) -> str | None:
    """Numbers as a Postgres array literal; None if there are none."""
    return f"{{{','.join(map(str, merges))}}}" if merges else None


def pick(indexes: Sequence[int], *columns: Sequence[Any]) -> list[Sequence[Any]]:
    """The rows at `indexes` of each column; the columns themselves if that is all rows in order."""
    if not columns or list(indexes) == list(range(len(columns[0]))):
        return list(columns)
    return [[column[i] for i in indexes] for column in columns]
