"""The oracle: compares the effects that the published events must have with the observed ones.

It knows the published events, the rules and the reference model, and nothing of goald's
implementation. It reads the interfaces of goald's users: the tables, and `goald:exits`, in which
an exit may appear any number of times under one id.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgpack
import psycopg
from tests.fault.harness.history import Event, configured_model, contact_of
from tests.fault.harness.servers import Client
from tests.support.reference.records import Enrollment

Key: TypeAlias = tuple[str, str]
"""Tenant and enrollment."""

_GOALS = "SELECT id::text, key FROM goald.workflow_goals"
_ENROLLMENTS = """
SELECT tenant_id, id, contact_id, workflow_id, status FROM goald.workflow_enrollments
WHERE tenant_id = ANY(%s)
"""
_ACHIEVEMENTS = """
SELECT a.tenant_id, a.workflow_enrollment_id, a.contact_id, a.workflow_id, g.key,
       (extract(epoch FROM a.achieved_at) * 1000000)::bigint, a.metadata->>'event_id'
FROM goald.workflow_goal_achievements a
JOIN goald.workflow_goals g ON g.tenant_id = a.tenant_id AND g.id = a.goal_config_id
WHERE a.tenant_id = ANY(%s)
"""


@dataclass(frozen=True)
class ExitSeen:
    """The content of an exit that is the same in each of its publications."""

    id: str
    tenant: str
    enrollment: str
    contact: str
    workflow: str
    goals: tuple[str, ...]
    """The keys of the goals, sorted."""
    event_id: str


@dataclass
class Observed:
    """The observed state."""

    exits: dict[Key, list[ExitSeen]] = field(default_factory=lambda: defaultdict(list))
    """In the order of publication, with repetitions."""
    enrollments: dict[Key, tuple[str, str, str]] = field(default_factory=dict)
    """Contact, workflow and status."""
    achievements: dict[tuple[str, str, str], list[tuple[str, str, int, str | None]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """For each tenant, enrollment and goal: contact, workflow, time in microseconds, event id."""
    dead_letters: list[tuple[str, str]] = field(default_factory=list)
    """Event id and reason of each dead letter."""


@dataclass(frozen=True)
class Verdict:
    """The errors found, one phrase each."""

    lost: list[str]
    doubled: list[str]
    unjustified: list[str]
    exits: int = 0
    """The number of expected exits."""

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.unjustified)

    def __str__(self) -> str:
        kinds = (("lost", self.lost), ("doubled", self.doubled), ("unjustified", self.unjustified))
        return "; ".join(
            f"{len(errors)} {kind}: {', '.join(errors[:3])}" for kind, errors in kinds if errors
        )


def observe(client: Client, admin_dsn: str, tenants: Iterable[str]) -> Observed:
    """The state of these tenants in Redis and Postgres. goald must be idle."""
    seen = Observed()
    names = list(tenants)
    with psycopg.connect(admin_dsn) as connection:
        keys: dict[str, str] = dict(connection.execute(_GOALS).fetchall())
        for row in connection.execute(_ENROLLMENTS, [names]):
            seen.enrollments[row[0], row[1]] = (row[2], row[3], row[4])
        for row in connection.execute(_ACHIEVEMENTS, [names]):
            seen.achievements[row[0], row[1], row[4]].append((row[2], row[3], row[5], row[6]))
    for _, fields in client.xrange("goald:exits"):
        seen_exit = _exit(json.loads(fields[b"event"]), keys)
        if seen_exit.tenant in names:
            seen.exits[seen_exit.tenant, seen_exit.enrollment].append(seen_exit)
    for _, fields in client.xrange("goald:dead"):
        reason = fields[b"reason"].decode(errors="replace")
        seen.dead_letters.append((_event_id(fields[b"event"]), reason))
    return seen


def _event_id(event: bytes) -> str:
    """The id of an event in JSON or MessagePack; the first bytes if it is neither."""
    try:
        decoded = json.loads(event) if event[:1] == b"{" else msgpack.unpackb(event)
        return str(decoded["id"])
    except (ValueError, KeyError, TypeError, msgpack.UnpackException):
        return repr(event[:100])


def _exit(event: dict[str, Any], keys: dict[str, str]) -> ExitSeen:
    data = event["data"]
    return ExitSeen(
        id=event["id"],
        tenant=event["tenantid"],
        enrollment=data["enrollment_id"],
        contact=data["contact_id"],
        workflow=data["workflow_id"],
        goals=tuple(sorted(keys.get(goal, goal) for goal in data["goal_ids"])),
        event_id=data["trigger_event"]["id"],
    )


class Oracle:
    """Judges everything that was published to one environment, round after round."""

    def __init__(self) -> None:
        self._model = configured_model()
        self._rejected: set[str] = set()
        """Ids of events that may be dead-lettered."""
        self._deleted: set[tuple[str, str]] = set()
        """Contacts whose payloads are redacted."""
        self._forgiven: set[tuple[str, str]] = set()
        self._tenants: set[str] = {tenant for tenant, _ in self._model.workflows}

    def feed(self, events: Iterable[Event]) -> None:
        """Add events that were published after the earlier ones, in this order for each contact."""
        for event in events:
            outcome = self._model.feed(event)
            if outcome.rejected is not None:
                self._rejected.add(event["id"])
            if event["type"] == "contact.deleted":
                self._deleted.add(contact_of(event))

    def feed_garbage(self, payload: bytes) -> None:
        """Add a published entry that is not an event."""
        self._rejected.add(_event_id(payload))

    def forgive_the_deleted(self) -> None:
        """Expect no exits of contacts deleted until now, because Redis lost data. goald does not
        store exits of deleted contacts, so it cannot publish them again."""
        self._forgiven |= self._deleted

    def judge(self, client: Client, admin_dsn: str) -> Verdict:
        """Compare the observed state with the expected one. goald must be idle."""
        return self.compare(observe(client, admin_dsn, self._tenants))

    def compare(self, seen: Observed) -> Verdict:
        """Compare an observed state with the expected one."""
        verdict = Verdict([], [], [], exits=len(self._model.exits))
        self._compare_enrollments(seen, verdict)
        self._compare_exits(seen, verdict)
        self._compare_achievements(seen, verdict)
        for event_id, reason in seen.dead_letters:
            if event_id not in self._rejected:
                verdict.lost.append(f"event {event_id} was dead-lettered: {reason}")
        return verdict

    def _compare_enrollments(self, seen: Observed, verdict: Verdict) -> None:
        for key, each in self._model.enrollments.items():
            actual = seen.enrollments.get(key)
            if actual is None:
                verdict.lost.append(f"enrollment {key}")
            elif actual[1] != each.workflow or not self._is_contact(each, actual[0]):
                verdict.unjustified.append(f"enrollment {key} is of {actual[:2]}")
            elif actual[2] != each.status:
                wrong = verdict.lost if actual[2] == "active" else verdict.unjustified
                wrong.append(f"enrollment {key} is {actual[2]}, not {each.status}")
        for key in seen.enrollments.keys() - self._model.enrollments.keys():
            verdict.unjustified.append(f"enrollment {key}")

    def _is_contact(self, of: Enrollment, stored: str) -> bool:
        contact = "erased" if stored.startswith("erased:") else stored
        return contact in self._model.stored_contacts(of)

    def _compare_exits(self, seen: Observed, verdict: Verdict) -> None:
        expected = {(each.tenant, each.enrollment): each for each in self._model.exits}
        for key, each in expected.items():
            exits = seen.exits.get(key, [])
            if not exits and (each.tenant, each.contact) not in self._forgiven:
                verdict.lost.append(f"exit of {key}")
            if len({seen_exit.id for seen_exit in exits}) > 1:
                verdict.doubled.append(f"exit of {key}")
            correct = (each.contact, each.workflow, tuple(sorted(each.goal_ids)), each.event_id)
            for seen_exit in set(exits):
                actual = (
                    seen_exit.contact,
                    seen_exit.workflow,
                    seen_exit.goals,
                    seen_exit.event_id,
                )
                if actual != correct:
                    verdict.unjustified.append(f"exit of {key} is {actual}, not {correct}")
        for key in seen.exits.keys() - expected.keys():
            verdict.unjustified.append(f"exit of {key}")

    def _compare_achievements(self, seen: Observed, verdict: Verdict) -> None:
        expected = {
            (each.tenant, each.enrollment, each.goal): (
                each.contact,
                each.workflow,
                each.achieved_at_us,
                each.event_id,
            )
            for each in self._model.achievements
        }
        for key, correct in expected.items():
            actual = seen.achievements.get(key, [])
            if not actual:
                verdict.lost.append(f"achievement {key}")
            if len(actual) > 1:
                verdict.doubled.append(f"achievement {key}")
            enrollment = self._model.enrollments[key[:2]]
            for contact, workflow, at, event_id in actual:
                is_erased = contact.startswith("erased:")
                stored = (correct[0] if is_erased else contact, workflow, at)
                expected_id = None if is_erased else correct[3]
                if (*stored, event_id) == (*correct[:3], expected_id) and self._is_contact(
                    enrollment, contact
                ):
                    continue
                verdict.unjustified.append(f"achievement {key} is {actual}, not {correct}")
        for key in seen.achievements.keys() - expected.keys():
            verdict.unjustified.append(f"achievement {key}")
