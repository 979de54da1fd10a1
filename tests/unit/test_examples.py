"""The converters in examples/ against the independent computation, over the real logs.

The logs are not part of the project. They are read from the directory GOALD_TEST_DATA, by
default from ../shared/data, and the tests are skipped if they are missing.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.data.independent_sql import EXPECTED, Achieved
from tests.support.reference import Goal, Model

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("GOALD_TEST_DATA") or ROOT.parent / "shared" / "data")


def log(name: str) -> Path:
    path = DATA / f"{name}.csv"
    if not path.is_file():
        pytest.skip(f"no event log at {path}: set GOALD_TEST_DATA to the directory of the logs")
    return path


def converted(name: str, outdir: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The output of the command: the workflows, and the events in the order of the file."""
    script = ROOT / "examples" / f"{name}.py"
    subprocess.run([sys.executable, script, log(name), outdir], check=True, capture_output=True)
    workflows = yaml.safe_load((outdir / "workflows.yaml").read_text(encoding="utf-8"))
    lines = (outdir / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return workflows, [json.loads(line) for line in lines]


def configured(file: dict[str, Any]) -> Model:
    """A model that holds the workflows of the file; a goal's id is its key."""
    model = Model()
    for workflow in file["workflows"]:
        goals = [
            Goal(
                id=goal["key"],
                goal_type=goal["goal_type"],
                criteria=goal["criteria"],
                effective_from_us=int(goal["effective_from"].timestamp()) * 1_000_000,
                position=position,
            )
            for position, goal in enumerate(workflow["goals"])
        ]
        model.configure(
            file["tenant"], workflow["id"], workflow["goal_logic"], workflow["active"], goals
        )
    return model


def achieved(model: Model) -> list[Achieved]:
    return sorted(
        Achieved(
            new.tenant,
            new.workflow,
            new.enrollment,
            new.contact,
            new.goal,
            new.goal_type,
            new.achieved_at_us,
            new.event_id,
        )
        for new in model.achievements
    )


@pytest.mark.parametrize("name", EXPECTED)
def test_the_model_over_converted_events_agrees_with_sql_over_the_log(
    name: str, tmp_path: Path
) -> None:
    workflows, events = converted(name, tmp_path)
    model = configured(workflows)
    outcomes = [model.feed(event) for event in events]
    assert [outcome.rejected for outcome in outcomes if outcome.rejected] == []
    expected = EXPECTED[name](log(name))
    assert achieved(model) == expected
    # An agreement on little would say little.
    used = {(new.workflow, new.goal) for new in expected}
    assert {(flow, goal) for flow, goal in used if not flow.startswith("return-to:")} == {
        (workflow["id"], goal["key"])
        for workflow in workflows["workflows"]
        for goal in workflow["goals"]
        if not workflow["id"].startswith("return-to:")
    }
    assert len(expected) > 100


@pytest.mark.parametrize("name", EXPECTED)
def test_events_are_in_time_order_with_unique_ids_that_a_second_run_repeats(
    name: str, tmp_path: Path
) -> None:
    _, events = converted(name, tmp_path / "first")
    times = [datetime.fromisoformat(event["time"]) for event in events]
    assert times == sorted(times)
    ids = Counter((event["source"], event["id"]) for event in events)
    assert ids.most_common(1)[0][1] == 1
    assert converted(name, tmp_path / "second")[1] == events


@pytest.mark.parametrize("name", EXPECTED)
def test_an_interrupted_and_repeated_replay_has_the_same_achievements(
    name: str, tmp_path: Path
) -> None:
    workflows, events = converted(name, tmp_path)
    model = configured(workflows)
    for event in [*events[: len(events) // 2], *events, *events]:
        model.feed(event)
    assert achieved(model) == EXPECTED[name](log(name))
