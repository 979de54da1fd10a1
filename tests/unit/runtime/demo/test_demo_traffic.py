"""The demo's traffic has the intended outcomes in the reference model."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml
from tests.support.reference.model import Model
from tests.support.reference.records import Goal

from goald.runtime.demo.tenant import WORKFLOWS
from goald.runtime.demo.traffic import MAX_OPEN, TENANT, DemoTraffic

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
FILE = yaml.safe_load(WORKFLOWS.read_text())


def generate(count: int, *, started_at: datetime = START, seed: int = 7) -> list[dict[str, Any]]:
    traffic = DemoTraffic(seed=seed, started_at=started_at)
    return [traffic.next(started_at + timedelta(seconds=number / 300)) for number in range(count)]


def model_of_the_demo() -> Model:
    model = Model()
    for workflow in FILE["workflows"]:
        goals = tuple(
            Goal(f"{workflow['id']}/{goal['key']}", goal["goal_type"], goal["criteria"])
            for goal in workflow["goals"]
        )
        model.configure(TENANT, workflow["id"], workflow["goal_logic"], workflow["active"], goals)
    return model


def test_every_workflow_and_goal_type_has_an_exit_within_5000_events() -> None:
    model = model_of_the_demo()
    exits = [found for event in generate(5_000) for found in model.feed(event).exited]
    ended_by_the_demo = {flow["id"] for flow in FILE["workflows"] if "steps" not in flow}
    assert {found.workflow for found in exits} == ended_by_the_demo
    assert {found.goal_type for found in exits} == {
        "tag_added",
        "purchase_made",
        "appointment_booked",
        "form_submitted",
        "pipeline_stage_reached",
    }


def test_the_first_exit_happens_within_two_seconds() -> None:
    model = model_of_the_demo()
    assert any(model.feed(event).exited for event in generate(600))


def test_about_one_event_in_a_hundred_is_dead_lettered() -> None:
    model = model_of_the_demo()
    outcomes = [model.feed(event) for event in generate(10_000)]
    rejected = [outcome for outcome in outcomes if outcome.rejected is not None]
    assert 50 <= len(rejected) <= 200


def test_a_trial_is_started_by_a_contact_with_an_address_and_some_buy() -> None:
    events = generate(20_000)
    described = {each["data"]["contact_id"] for each in events if each["type"] == "contact.updated"}
    started = [each["data"]["contact_id"] for each in events
               if each["data"].get("form_id") == "form-trial"]  # fmt: skip
    bought = [each for each in events if each["data"].get("product_id") == "plan-pro"]
    assert set(started) == described
    assert 0 < len(bought) < len(started)


def test_trials_start_slowly() -> None:
    """Each of them writes up to two e-mails."""
    started = [each for each in generate(36_000) if each["data"].get("form_id") == "form-trial"]
    assert 30 <= len(started) <= 150  # in two minutes


def test_every_event_can_be_routed_and_written_as_json() -> None:
    for event in generate(5_000):
        again = json.loads(json.dumps(event, allow_nan=False))
        assert again["tenantid"] == TENANT
        assert again["data"]["contact_id"]


def test_the_same_seed_and_times_generate_the_same_events() -> None:
    assert generate(1_000) == generate(1_000)
    assert generate(1_000) != generate(1_000, seed=8)


def test_a_later_start_enrolls_the_same_contacts_under_new_ids() -> None:
    def enrolled(events: list[dict[str, Any]]) -> tuple[set[str], set[str]]:
        data = [event["data"] for event in events if "enrollment_id" in event["data"]]
        return {each["enrollment_id"] for each in data}, {each["contact_id"] for each in data}

    first, contacts = enrolled(generate(60_000))
    second, contacts_again = enrolled(generate(60_000, started_at=START + timedelta(hours=1)))
    assert first
    assert not first & second
    assert contacts & contacts_again


def test_some_events_are_sent_twice() -> None:
    ids = Counter(event["id"] for event in generate(5_000))
    assert max(ids.values()) > 1


def test_open_enrollments_stay_bounded() -> None:
    traffic = DemoTraffic(seed=7, started_at=START)
    for _ in range(100_000):
        traffic.next(START)
    assert 0 < len(traffic._open) <= MAX_OPEN
