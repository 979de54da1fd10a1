"""Turns cases moving through stages (case_id, stage, department, channel, time) into what
goald takes.

    python examples/stages.py INPUT.csv OUTDIR

Writes OUTDIR/workflows.yaml for `goald apply` and OUTDIR/events.jsonl for `goald replay`,
in time order. See examples/README.md for the workflows and for the treatment of bad rows.
"""

import argparse
import csv
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

TENANT = "permits"
CHECK = "T02 Check confirmation of receipt"
# The enrollment that a stage starts begins one microsecond after it. Otherwise a redelivered
# stage could count for the enrollment that it started.
RIGHT_AFTER = timedelta(microseconds=1)
WITHDRAWN_CHANNELS = ("Desk", "Post")

WORKFLOWS = """\
tenant: permits
workflows:
  - id: receipt
    name: Receipt checked, determined and sent
    goal_logic: all
    active: true
    goals:
      - key: checked
        goal_type: pipeline_stage_reached
        criteria: {stage_id: T02 Check confirmation of receipt, pipeline_id: General}
        effective_from: 2010-01-01T00:00:00Z
      - key: determined
        goal_type: pipeline_stage_reached
        criteria: {stage_id: T04 Determine confirmation of receipt, pipeline_id: General}
        effective_from: 2010-01-01T00:00:00Z
      - key: sent
        goal_type: pipeline_stage_reached
        criteria: {stage_id: T05 Print and send confirmation of receipt, pipeline_id: General}
        effective_from: 2011-01-01T00:00:00Z
  - id: advice
    name: Reminders until it is known whether to stop
    goal_logic: any
    active: true
    goals:
      - key: stop-indication
        goal_type: pipeline_stage_reached
        criteria: {stage_id: T10 Determine necessity to stop indication, pipeline_id: General}
        effective_from: 2010-01-01T00:00:00Z
      - key: stop-advice
        goal_type: pipeline_stage_reached
        criteria: {stage_id: T06 Determine necessity of stop advice, pipeline_id: General}
        effective_from: 2010-01-01T00:00:00Z
  - id: after-check
    name: From each check to its result
    goal_logic: any
    active: true
    goals:
      - key: determined
        goal_type: pipeline_stage_reached
        criteria: {stage_id: T04 Determine confirmation of receipt, pipeline_id: General}
        effective_from: 2010-01-01T00:00:00Z
catalog:
  pipeline:
    - {id: General, name: General}
  stage:
    - {id: T02 Check confirmation of receipt, name: Check}
    - {id: T04 Determine confirmation of receipt, name: Determine}
    - {id: T05 Print and send confirmation of receipt, name: Print and send}
    - {id: T06 Determine necessity of stop advice, name: Stop advice}
    - {id: T10 Determine necessity to stop indication, name: Stop indication}
"""

Row = dict[str, Any]
# When it happened, and its place among what happened in the same instant: rows by number.
Placed = tuple[datetime, int, dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", type=Path, metavar="INPUT.csv")
    parser.add_argument("outdir", type=Path, metavar="OUTDIR")
    arguments = parser.parse_args()
    events = [event for *_, event in sorted(convert(read(arguments.input)), key=lambda p: p[:2])]
    arguments.outdir.mkdir(parents=True, exist_ok=True)
    (arguments.outdir / "workflows.yaml").write_text(WORKFLOWS, encoding="utf-8")
    with (arguments.outdir / "events.jsonl").open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
    print(f"{len(events)} events in {arguments.outdir / 'events.jsonl'}")


def read(path: Path) -> list[Row]:
    """The rows, numbered from 1 after the header. Times keep their own offset."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {**row, "number": number, "at": datetime.fromisoformat(row["time"])}
            for number, row in enumerate(csv.DictReader(file), start=1)
        ]


def convert(rows: list[Row]) -> Iterator[Placed]:
    by_case = sorted(rows, key=lambda row: (row["case_id"], row["at"], row["number"]))
    for case, group in groupby(by_case, key=lambda row: str(row["case_id"])):
        history = list(group)
        previous = None
        for row in history:
            yield stage_changed(row, previous)
            previous = row["stage"]
        yield from receipt(case, history[0])
        yield from advice(case, history[0])
        yield from after_check(case, history)


def stage_changed(row: Row, previous: str | None) -> Placed:
    """The department is the pipeline; only the web form's events name it."""
    data = {"stage_id": row["stage"], "previous_stage_id": previous, "channel": row["channel"]}
    if row["channel"] == "Internet":
        data["pipeline_id"] = row["department"]
    event_id = f"stages-{row['number']}"
    created = event("pipeline.stage.changed", event_id, row["at"], row["case_id"], data)
    return row["at"], row["number"], created


def receipt(case: str, first: Row) -> Iterator[Placed]:
    """From the moment the case is there, its first stage included."""
    yield started("receipt", f"receipt:{case}", case, first["at"])


def advice(case: str, first: Row) -> Iterator[Placed]:
    """An hour after the first stage; cases on paper leave a day after it."""
    enrollment, begin = f"advice:{case}", first["at"] + timedelta(hours=1)
    yield started("advice", enrollment, case, begin)
    if first["channel"] in WITHDRAWN_CHANNELS:
        end = first["at"] + timedelta(hours=24)
        data = {"workflow_id": "advice", "enrollment_id": enrollment, "reason": "cancelled"}
        created = event("workflow.enrollment.ended", f"ended-{enrollment}", end, case, data)
        yield end, 0, created


def after_check(case: str, history: list[Row]) -> Iterator[Placed]:
    """Each check starts a new enrollment: several may be active at the same time."""
    checks = [row for row in history if row["stage"] == CHECK]
    for count, row in enumerate(checks, start=1):
        enrollment = f"check:{case}:{count}"
        yield started("after-check", enrollment, case, row["at"] + RIGHT_AFTER)


def started(workflow: str, enrollment: str, case: str, at: datetime) -> Placed:
    data = {"workflow_id": workflow, "enrollment_id": enrollment}
    kind = "workflow.enrollment.started"
    return at, 0, event(kind, f"started-{enrollment}", at, case, data)


def event(
    kind: str, event_id: str, at: datetime, case: str, data: dict[str, Any]
) -> dict[str, Any]:
    """A CloudEvent. Its id is created of the row's number, so a second run makes the same."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "examples/stages",
        "type": kind,
        "time": at.isoformat(),
        "tenantid": TENANT,
        "data": {"contact_id": case, **data},
    }


if __name__ == "__main__":
    main()
