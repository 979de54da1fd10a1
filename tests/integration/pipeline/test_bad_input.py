"""Malformed events among valid events in a running goald (D4, D9).

Each malformed event is ignored, or dead-lettered with a readable reason. Each valid event takes
effect.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from tests.corpus.bad_envelopes import bad_envelopes
from tests.corpus.envelope import Envelope
from tests.support.services.daemon import Daemon

from goald.client import event
from goald.ports.dead_letters import StoredDeadLetter
from goald.redis_keys import event_stream

WORKFLOW = """
tenant: {tenant}
workflows:
  - id: nurture
    active: true
    goals:
      - {{goal_type: tag_added, criteria: {{tag_name: Customer}}}}
"""


@dataclass(frozen=True)
class Sent:
    """An entry that was sent, with its stream and id."""

    name: str
    stream: str
    id: str


class Streams:
    """Writes entries directly into streams, because the publisher refuses malformed events."""

    def __init__(self, daemon: Daemon, tenant: str) -> None:
        self._daemon = daemon
        self._tenant = tenant
        self._entries: list[tuple[str, str, dict[str, bytes]]] = []
        self._pairs = 0

    def add(self, name: str, stream: str, fields: dict[str, bytes]) -> None:
        self._entries.append((name, stream, fields))

    def valid_pair(self) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """The fields of two entries of a contact: an enrollment, and an event that completes it."""
        self._pairs += 1
        contact = f"valid-{self._pairs}"
        enrolled = {"workflow_id": "nurture", "enrollment_id": f"e-{contact}"}
        started = event("workflow.enrollment.started", self._tenant, contact, enrolled)
        tagged = event("contact.tag.added", self._tenant, contact, {"tag_name": "Customer"})
        return {"event": json.dumps(started).encode()}, {"event": json.dumps(tagged).encode()}

    def add_between_valid_events(self, name: str, stream: str, fields: dict[str, bytes]) -> None:
        started, tagged = self.valid_pair()
        self.add("valid", stream, started)
        self.add(name, stream, fields)
        self.add("valid", stream, tagged)

    def send(self) -> list[Sent]:
        """Send all entries in one write, so that they are read in the same batches, and wait until
        they are processed."""
        with self._daemon.redis() as client:
            pipe = client.pipeline(transaction=False)
            for _, stream, fields in self._entries:
                pipe.xadd(stream, dict(fields))
            ids = pipe.execute()
        self._daemon.until_lag_zero()
        return [
            Sent(name, stream, entry_id.decode())
            for (name, stream, _), entry_id in zip(self._entries, ids, strict=True)
        ]

    def assert_valid_events_took_effect(self) -> None:
        completed = self._daemon.sql(
            "SELECT id FROM goald.workflow_enrollments"
            " WHERE tenant_id = %s AND status = 'completed_goal'",
            self._tenant,
        )
        expected = {f"e-valid-{number}" for number in range(1, self._pairs + 1)}
        assert {enrollment for (enrollment,) in completed} == expected
        assert {each.enrollment_id for each in self._daemon.exits(self._tenant)} == expected


@pytest.fixture
def streams(daemon: Daemon, tenant: str) -> Streams:
    daemon.apply(WORKFLOW.format(tenant=tenant))
    return Streams(daemon, tenant)


def dead_letters_of(daemon: Daemon, sent: Sequence[Sent]) -> dict[str, StoredDeadLetter]:
    """The dead letters of these entries, by name."""
    found = {(dead.stream, dead.entry_id): dead for dead in daemon.dead()}
    return {each.name: found[each.stream, each.id] for each in sent
            if (each.stream, each.id) in found}  # fmt: skip


def failure_of(dead_letters: dict[str, StoredDeadLetter], envelope: Envelope) -> str | None:
    """How the outcome of an envelope differs from its expectation; None if it does not."""
    dead_letter = dead_letters.get(envelope.name)
    if envelope.expectation != "dead":
        return None if dead_letter is None else f"{envelope.name}: dead: {dead_letter.reason}"
    if dead_letter is None:
        return f"{envelope.name}: not dead"
    if dead_letter.event != envelope.raw:
        return f"{envelope.name}: its bytes are not kept"
    if (
        envelope.word.casefold() not in dead_letter.reason.casefold()
        or not dead_letter.reason.strip()
    ):
        return f"{envelope.name}: {dead_letter.reason!r} does not contain {envelope.word!r}"
    return None


def test_a_malformed_event_does_not_affect_valid_events_in_the_same_batch(
    daemon: Daemon, streams: Streams
) -> None:
    envelopes = bad_envelopes(time.time_ns() // 1_000)
    assert len(envelopes) >= 120
    for number, envelope in enumerate(envelopes):
        streams.add_between_valid_events(
            envelope.name, event_stream(number % 4), {"event": envelope.raw}
        )
    dead_letters = dead_letters_of(daemon, streams.send())
    wrong = [found for each in envelopes if (found := failure_of(dead_letters, each))]
    assert wrong == []
    assert "valid" not in dead_letters
    streams.assert_valid_events_took_effect()
    assert daemon.is_ready()


def test_many_malformed_events_in_a_row_do_not_stop_processing(
    daemon: Daemon, streams: Streams
) -> None:
    """The circuit breaker counts events that Postgres refuses, not malformed events."""
    envelopes = bad_envelopes(time.time_ns() // 1_000)
    started, tagged = streams.valid_pair()
    streams.add("valid", event_stream(0), started)
    for envelope in envelopes * 5:
        if len(envelope.raw) < 10_000:
            streams.add(envelope.name, event_stream(0), {"event": envelope.raw})
    streams.add("valid", event_stream(0), tagged)
    streams.send()
    streams.assert_valid_events_took_effect()
    assert daemon.is_ready()


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"payload": b"{}"}, "event"),
        ({"EVENT": b"{}", "event ": b"{}"}, "event"),
        ({"event": b""}, "neither a MessagePack map nor a JSON object"),
    ],
)
def test_an_entry_without_an_event_is_dead_lettered(
    daemon: Daemon, streams: Streams, fields: dict[str, bytes], word: str
) -> None:
    streams.add_between_valid_events("bad", event_stream(1), fields)
    dead_letter = dead_letters_of(daemon, streams.send())["bad"]
    assert word in dead_letter.reason
    assert (dead_letter.event, dead_letter.delivery_attempts) == (b"", 1)
    streams.assert_valid_events_took_effect()


@pytest.mark.parametrize("position", ["before", "after"])
def test_additional_fields_of_an_entry_are_ignored(
    daemon: Daemon, streams: Streams, position: str
) -> None:
    extra: dict[str, bytes] = {"trace": b"\xff\x00", "version": b"2"}
    for each in streams.valid_pair():
        streams.add(
            "valid", event_stream(2), extra | each if position == "before" else each | extra
        )
    assert dead_letters_of(daemon, streams.send()) == {}
    streams.assert_valid_events_took_effect()


def test_a_dead_letter_can_be_shown_and_replayed_by_command(
    daemon: Daemon, streams: Streams, tenant: str
) -> None:
    """The dead-lettered event reuses an enrollment id for another contact."""
    enrollment = {"workflow_id": "nurture", "enrollment_id": "e-1"}
    first, second = (
        event("workflow.enrollment.started", tenant, contact, enrollment)
        for contact in ("ann", "bob")
    )
    daemon.publish(first)
    daemon.until_lag_zero()
    daemon.publish(second)
    daemon.until_lag_zero()

    def own_dead_letters() -> list[StoredDeadLetter]:
        return [each for each in daemon.dead() if second["id"].encode() in each.event]

    (dead_letter,) = own_dead_letters()
    assert "enrollment" in dead_letter.reason
    result = daemon.run("dead", "show", dead_letter.id, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["reason"] == dead_letter.reason
    assert daemon.run("dead", "replay", dead_letter.id).returncode == 0
    daemon.until_lag_zero()
    (again,) = own_dead_letters()
    assert again.id != dead_letter.id
