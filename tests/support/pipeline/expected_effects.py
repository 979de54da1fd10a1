"""Computes, with the reference model, the effects that the events of a simulation must have, and
compares them with the entries in the streams and the rows in the tables."""

import json
from datetime import datetime
from typing import Any

from tests.support.pipeline.in_memory_pipeline import STREAM
from tests.support.reference import Exit, Model

from goald.adapters.memory.database import MemoryDatabase
from goald.adapters.memory.streams import MemoryStreams
from goald.redis_keys import DEAD, EXITS

REFUSED_CONTACT = "mallory"
"""Postgres refuses its enrollments for their content."""


class ExpectedEffects:
    """The events that were sent, the effects they must have, and checks that they had them."""

    def __init__(self, late_us: int = 0) -> None:
        self.model = Model(late_us=late_us, ends_merges=True)
        self.exit_of: dict[tuple[str, str], Exit] = {}
        self.owed: list[tuple[bytes, int, int]] = []
        """(entry, number of exits and of achievements that exist once it is processed)."""
        self.events: dict[str, Any] = {}
        """By entry id."""
        self.refused: dict[str, Any] = {}
        self.ids: dict[tuple[str, str], str] = {}
        """The id of each published exit, by enrollment."""
        self._checked = 0
        self._exits_seen = 0

    def add(self, entry_id: bytes, event: Any) -> None:
        """Add an event that was sent; None for bytes that cannot be decoded."""
        self.events[entry_id.decode()] = event
        received_us = _received_us(entry_id)
        if (
            event is None
            or _is_refused(event)
            or self.model.feed(event, received_us).rejected is not None
        ):
            self.refused[entry_id.decode()] = event
        self._add_exits()
        self.owed.append((entry_id, len(self.model.exits), len(self.model.achievements)))

    def configure(self, *arguments: Any, exits_missed: bool) -> None:
        """See `Model.configure`."""
        self.model.configure(*arguments, exits_missed=exits_missed)
        self._add_exits()

    def _add_exits(self) -> None:
        for exit_ in self.model.exits[len(self.exit_of) :]:
            self.exit_of[exit_.tenant, exit_.enrollment] = exit_

    def check(self, streams: MemoryStreams, database: MemoryDatabase) -> None:
        """Check that no effect is unjustified or doubled, and that every acknowledged event has
        had its effects (D1, D2)."""
        exits = streams.entries(EXITS)
        for _, fields in exits[self._exits_seen :]:
            self._check_exit(json.loads(fields[1]))
        self._exits_seen = len(exits)
        stored = {(row.enrollment.tenant_id, row.enrollment.id, row.goal_config_id): row.after_end
                for row in database.achievements}  # fmt: skip
        assert len(stored) == len(database.achievements), "an achievement was stored twice"
        expected = {(a.tenant, a.enrollment, a.goal): a.after_end for a in self.model.achievements}
        unjustified = stored.keys() - expected.keys()
        assert not unjustified, f"unjustified achievements: {unjustified}"
        if not self.model.merges:  # the order of events of different contacts is not kept
            assert all(expected[key] == after_end for key, after_end in stored.items())
        acknowledged = streams.stream(STREAM).acknowledged
        while self._checked < len(self.owed) and _id(self.owed[self._checked][0]) <= acknowledged:
            self._checked += 1
        if self._checked:
            _, exits_due, achievements_due = self.owed[self._checked - 1]
            for exit_ in self.model.exits[:exits_due]:
                key = exit_.tenant, exit_.enrollment
                assert key in self.ids, f"acknowledged, but its exit was not published: {key}"
                assert database.enrollments[key].status == "completed_goal"
            for due in self.model.achievements[:achievements_due]:
                assert (due.tenant, due.enrollment, due.goal) in stored, f"lost: {due}"

    def check_all(self, streams: MemoryStreams, database: MemoryDatabase) -> None:
        """Check the same, and that every event that was sent has had its effects."""
        assert streams.unacknowledged(STREAM) == 0
        self.check(streams, database)
        assert set(self.ids) == set(self.exit_of)
        actual = {
            key: (row.workflow_id, row.status, sorted(row.met_goals))
            for key, row in database.enrollments.items()
        }
        assert actual == {
            key: (row.workflow, row.status, sorted(row.met))
            for key, row in self.model.enrollments.items()
        }
        for key, row in self.model.enrollments.items():
            contact = database.enrollments[key].contact_id
            contact = "erased" if contact.startswith("erased:") else contact
            assert contact in self.model.stored_contacts(row), f"wrong contact: {key}"
        for achievement in database.achievements:
            if achievement.enrollment.contact_id.startswith("erased:"):
                assert achievement.trigger_event == "{}", "the payload of a deleted contact"
        self._check_contacts(database)
        dead = [fields[fields.index(b"id") + 1].decode() for _, fields in streams.entries(DEAD)]
        for entry in set(self.refused) - set(dead):
            is_repeat = self._counts_as_repeat(entry, database)
            assert is_repeat, f"a rejected event was not dead-lettered: {entry}"
        # Two events of one batch may claim the same enrollment id. If the commit shows that one
        # of them is wrong, both are dead-lettered; repeating the other would change nothing.
        disputed = {_enrollment(self.refused[entry]) for entry in self.refused}
        for entry in set(dead) - set(self.refused):
            enrollment = _enrollment(self.events[entry])
            assert enrollment is not None
            is_used = self._is_used(self.events[entry], enrollment)
            assert enrollment in disputed or is_used, f"dead-lettered without cause: {entry}"

    def _check_contacts(self, database: MemoryDatabase) -> None:
        """Check that each contact has the tags that the model knows."""
        stored = {
            key: sorted(str(tag["name"]) for tag in json.loads(row.tags))
            for key, row in database.contacts.items()
        }
        known = {
            key: sorted(str(tag.name) for tag in contact.tags)
            for key, contact in self.model.known.items()
        }
        for key in {*stored, *known}:
            tags = stored.get(key, []), known.get(key, [])
            assert tags[0] == tags[1], f"wrong tags: {key}: {tags}"

    def _is_used(self, event: Any, enrollment: tuple[str, str]) -> bool:
        """Whether the event is a second start that came while its enrollment was active. If it is
        read again after the enrollment has ended, it is dead-lettered (E12)."""
        row = self.model.enrollments.get(enrollment)
        is_start = event["type"] == "workflow.enrollment.started"
        return is_start and row is not None and row.status != "active"

    def _counts_as_repeat(self, entry: str, database: MemoryDatabase) -> bool:
        """Whether the event names an erased enrollment, and its contact was deleted after it. The
        enrollment may be its own, which moved to another contact (E21)."""
        event = self.refused[entry]
        enrollment = _enrollment(event)
        if enrollment is None or enrollment not in database.enrollments:
            return False
        deleted = self.model.deleted.get((event["tenantid"], event["data"]["contact_id"]))
        is_erased = database.enrollments[enrollment].contact_id.startswith("erased:")
        time_us = round(datetime.fromisoformat(event["time"]).timestamp() * 1e6)
        began_us = min(_received_us(entry.encode()), time_us)
        return is_erased and deleted is not None and began_us <= deleted

    def _check_exit(self, exit_: dict[str, Any]) -> None:
        data = exit_["data"]
        key = exit_["tenantid"], data["enrollment_id"]
        assert key in self.exit_of, f"unjustified exit: {exit_}"
        due = self.exit_of[key]
        contacts = [data["contact_id"], due.contact]
        event = due.event_id
        if self.model.merges:
            # The order of events of different contacts is not kept. So another event may have met
            # the goals first, before or after the merge.
            event = data["trigger_event"]["id"]
        assert self.model.were_one(exit_["tenantid"], *contacts)
        assert (data["workflow_id"], data["goal_type"]) == (due.workflow, due.goal_type)
        assert (tuple(data["goal_ids"]), data["trigger_event"]["id"]) == (due.goal_ids, event)
        assert self.ids.setdefault(key, exit_["id"]) == exit_["id"], "an exit has two ids"


def _is_refused(event: Any) -> bool:
    return bool(event["data"]["contact_id"] == REFUSED_CONTACT)


def _enrollment(event: Any) -> tuple[str, str] | None:
    """Return the tenant and enrollment that an event names, or None."""
    if event is None or "enrollment_id" not in event["data"]:
        return None
    return event["tenantid"], event["data"]["enrollment_id"]


def _id(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence)


def _received_us(entry_id: bytes) -> int:
    return _id(entry_id)[0] * 1_000 + 999
