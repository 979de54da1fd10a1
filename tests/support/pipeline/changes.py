"""Changes to be committed, written by hand in the columns of `_native.Proposal`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from goald.domain.configuration.goals import LISTENS_TO
from goald.ports.outbox import OutboxRow
from goald.ports.shard_store import Change

NOON = 1_780_000_000_000_000
"""Some moment, in microseconds, that the tests count from."""
SECOND = 1_000_000


def goal_id(name: str) -> str:
    return str(uuid5(NAMESPACE_DNS, name))


@dataclass(frozen=True)
class Effect:
    """The net change to one enrollment; by default a new, active one."""

    enrollment_id: str
    contact_id: str = "ann"
    workflow_id: str = "w-1"
    tenant_id: str = "acme"
    slot: int = 3
    is_new: bool = True
    status: str = "active"
    enrolled_at: int = NOON
    ended_at: int | None = None
    met_goals: Sequence[str] = ()
    pending_actions: int | None = None
    achieves: Sequence[str] = ()
    """Names of goals: an achievement each. A name that is a type of goal is of that type, any
    other of `tag_added`."""
    achieved_at: int = NOON + SECOND
    messages: Sequence[str] = ()
    """Payloads of outbox rows, for goald:exits."""


@dataclass(frozen=True)
class Columns:
    """Named lists of equal length."""

    columns: dict[str, list[Any]] = field(default_factory=dict)

    def __getattr__(self, name: str) -> list[Any]:
        try:
            return self.columns[name]
        except KeyError:
            raise AttributeError(name) from None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def change(
    *effects: Effect,
    deletions: Sequence[tuple[str, str, int, int]] = (),
    acknowledgements: Sequence[tuple[str, str, str, str, int, int | None, int]] = (),
) -> Change:
    """One batch of these effects, with the achievements and messages that hang on them."""
    names = (
        "tenant_id", "enrollment_id", "contact_id", "workflow_id", "slot", "is_new", "status",
        "enrolled_at", "ended_at", "pending_actions",
    )  # fmt: skip
    columns: dict[str, list[Any]] = {n: [getattr(e, n) for e in effects] for n in names}
    columns["met_goals"] = ["{" + ",".join(map(goal_id, e.met_goals)) + "}" for e in effects]
    achieved = [(i, e, name) for i, e in enumerate(effects) for name in e.achieves]
    achievements = Columns(
        {
            "effect": [i for i, _, _ in achieved],
            "id": [goal_id(f"{e.enrollment_id}/{name}") for _, e, name in achieved],
            "goal_id": [goal_id(name) for _, _, name in achieved],
            "goal_type": [name if name in LISTENS_TO else "tag_added" for _, _, name in achieved],
            "achieved_at": [e.achieved_at for _, e, _ in achieved],
            "trigger_event": [json.dumps({"tag_name": name}) for _, _, name in achieved],
            "metadata": [json.dumps({"event_id": name}) for _, _, name in achieved],
        }
    )
    outbox = [
        OutboxRow(i, f"{e.enrollment_id}/{n}", "goald:exits", payload)
        for i, e in enumerate(effects)
        for n, payload in enumerate(e.messages)
    ]
    return Change(Columns(columns), achievements, outbox, deletions, acknowledgements)
