"""Malformed events in the midst of good ones, through a running goald (D4, D9): each bad one
is dead for a reason that a person understands, or passed over; no good one suffers."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from tests.corpus.bad_envelopes import bad_envelopes
from tests.corpus.envelope import Envelope
from tests.support.services.daemon import Daemon

from goald.adapters.redis.dead_letters.store import StoredDeadLetter
from goald.client import event
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
    """One entry, and where Redis has put it."""

    name: str
    stream: str
    id: str


class Streams:
    """Writes entries past the publisher, which would refuse them."""

    def __init__(self, daemon: Daemon, tenant: str) -> None:
        self._daemon = daemon
        self._tenant = tenant
        self._entries: list[tuple[str, str, dict[str, bytes]]] = []
        self._goods = 0

    def add(self, name: str, stream: str, fields: dict[str, bytes]) -> None:
        self._entries.append((name, stream, fields))

    def good(self, stream: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """A contact's enrollment and the event that completes it, for the same stream."""
        self._goods += 1
        contact = f"good-{self._goods}"
        enrolled = {"workflow_id": "nurture", "enrollment_id": f"e-{contact}"}
        started = event("workflow.enrollment.started", self._tenant, contact, enrolled)
        tagged = event("contact.tag.added", self._tenant, contact, {"tag_name": "Customer"})
        return {"event": json.dumps(started).encode()}, {"event": json.dumps(tagged).encode()}

    def between_good_ones(self, name: str, stream: str, fields: dict[str, bytes]) -> None:
        started, tagged = self.good(stream)
        self.add("good", stream, started)
        self.add(name, stream, fields)
        self.add("good", stream, tagged)

    def send(self) -> list[Sent]:
        """All in one write, so that they are read in the same batches; then until each has
        had its effect. Where each has been put."""
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

    def assert_every_good_one_took_effect(self) -> None:
        completed = self._daemon.sql(
            "SELECT id FROM goald.workflow_enrollments"
            " WHERE tenant_id = %s AND status = 'completed_goal'",
            self._tenant,
        )
        expected = {f"e-good-{number}" for number in range(1, self._goods + 1)}
        assert {enrollment for (enrollment,) in completed} == expected
        assert {each.enrollment_id for each in self._daemon.exits(self._tenant)} == expected


@pytest.fixture
def streams(daemon: Daemon, tenant: str) -> Streams:
    daemon.apply(WORKFLOW.format(tenant=tenant))
    return Streams(daemon, tenant)


def letters_of(daemon: Daemon, sent: Sequence[Sent]) -> dict[str, StoredDeadLetter]:
    """What was buried of these entries, by name."""
    buried = {(letter.stream, letter.entry_id): letter for letter in daemon.dead()}
    return {each.name: buried[each.stream, each.id] for each in sent
            if (each.stream, each.id) in buried}  # fmt: skip


def not_as_expected(letters: dict[str, StoredDeadLetter], envelope: Envelope) -> str | None:
    """What is wrong with an envelope's end; None where nothing is."""
    letter = letters.get(envelope.name)
    if envelope.expectation != "dead":
        return None if letter is None else f"{envelope.name}: dead: {letter.reason}"
    if letter is None:
        return f"{envelope.name}: not dead"
    if letter.event != envelope.raw:
        return f"{envelope.name}: its bytes are not kept"
    if envelope.word.casefold() not in letter.reason.casefold() or not letter.reason.strip():
        return f"{envelope.name}: {letter.reason!r} does not speak of {envelope.word!r}"
    return None


def test_each_bad_envelope_among_good_events_is_dead_for_a_reason_or_passed_over(
    daemon: Daemon, streams: Streams
) -> None:
    envelopes = bad_envelopes(time.time_ns() // 1_000)
    assert len(envelopes) >= 120
    for number, envelope in enumerate(envelopes):
        streams.between_good_ones(envelope.name, event_stream(number % 4), {"event": envelope.raw})
    letters = letters_of(daemon, streams.send())
    wrong = [found for each in envelopes if (found := not_as_expected(letters, each))]
    assert wrong == []
    assert "good" not in letters
    streams.assert_every_good_one_took_effect()
    assert daemon.is_ready()


def test_a_flood_of_bad_envelopes_holds_nothing_up(daemon: Daemon, streams: Streams) -> None:
    """Bad input is its producer's fault, however much of it comes in a row."""
    envelopes = bad_envelopes(time.time_ns() // 1_000)
    started, tagged = streams.good(event_stream(0))
    streams.add("good", event_stream(0), started)
    for envelope in envelopes * 5:
        if len(envelope.raw) < 10_000:
            streams.add(envelope.name, event_stream(0), {"event": envelope.raw})
    streams.add("good", event_stream(0), tagged)
    streams.send()
    streams.assert_every_good_one_took_effect()
    assert daemon.is_ready()


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"payload": b"{}"}, "event"),
        ({"EVENT": b"{}", "event ": b"{}"}, "event"),
        ({"event": b""}, "neither a MessagePack map nor a JSON object"),
    ],
)
def test_an_entry_without_an_event_is_dead(
    daemon: Daemon, streams: Streams, fields: dict[str, bytes], word: str
) -> None:
    streams.between_good_ones("bad", event_stream(1), fields)
    letter = letters_of(daemon, streams.send())["bad"]
    assert word in letter.reason
    assert (letter.event, letter.delivery_attempts) == (b"", 1)
    streams.assert_every_good_one_took_effect()


@pytest.mark.parametrize("position", ["before", "after"])
def test_fields_beside_the_event_are_passed_over(
    daemon: Daemon, streams: Streams, position: str
) -> None:
    extra: dict[str, bytes] = {"trace": b"\xff\x00", "version": b"2"}
    for each in streams.good(event_stream(2)):
        streams.add("good", event_stream(2), extra | each if position == "before" else each | extra)
    assert letters_of(daemon, streams.send()) == {}
    streams.assert_every_good_one_took_effect()


def test_a_dead_letter_can_be_shown_and_replayed_by_command(
    daemon: Daemon, streams: Streams, tenant: str
) -> None:
    """What somebody does who has found out why: here, an id that came for another contact."""
    taken = {"workflow_id": "nurture", "enrollment_id": "e-1"}
    first, second = (
        event("workflow.enrollment.started", tenant, contact, taken) for contact in ("ann", "bob")
    )
    daemon.publish(first)
    daemon.until_lag_zero()
    daemon.publish(second)
    daemon.until_lag_zero()

    def mine() -> list[StoredDeadLetter]:
        return [each for each in daemon.dead() if second["id"].encode() in each.event]

    (letter,) = mine()
    assert "enrollment" in letter.reason
    shown = daemon.run("dead", "show", letter.id, "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["reason"] == letter.reason
    assert daemon.run("dead", "replay", letter.id).returncode == 0
    daemon.until_lag_zero()
    (again,) = mine()
    assert again.id != letter.id
