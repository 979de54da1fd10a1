"""Turns medical bookings (patient_id, appointment_id, booked_at, appointment_day, clinic)
into what goald takes.

    python examples/appointments.py INPUT.csv OUTDIR

Writes OUTDIR/workflows.yaml for `goald apply` and OUTDIR/events.jsonl for `goald replay`,
in time order. See examples/README.md for the workflows and for the treatment of bad rows.
"""

import argparse
import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

TENANT = "clinics"
SPRING_SENT = datetime(2016, 4, 1, tzinfo=UTC)
SPRING_FROM = datetime(2016, 4, 5, tzinfo=UTC)
SPRING_TO = datetime(2016, 4, 25, tzinfo=UTC)
DISTRICT_FROM = datetime(2016, 3, 1, tzinfo=UTC)
CHECK_UP_FROM = datetime(2016, 4, 15, tzinfo=UTC)
# The enrollment that a booking starts begins one microsecond after it. Otherwise a redelivered
# booking would count for the enrollment that it started.
RIGHT_AFTER = timedelta(microseconds=1)

WORKFLOWS = """\
tenant: clinics
workflows:
  - id: spring
    name: Spring reminder to book
    goal_logic: any
    active: true
    goals:
      - key: booked
        goal_type: appointment_booked
        criteria: {any_appointment: true}
        effective_from: 2016-01-01T00:00:00Z
  - id: district
    name: Book at one of the large clinics
    goal_logic: any
    active: true
    goals:
      - key: jabour
        goal_type: appointment_booked
        criteria: {calendar_id: JABOUR}
        effective_from: 2016-01-01T00:00:00Z
      - key: centro
        goal_type: appointment_booked
        criteria: {calendar_id: CENTRO}
        effective_from: 2016-04-20T00:00:00Z
      - key: itarare
        goal_type: appointment_booked
        criteria: {calendar_id: ITARARÉ}
        effective_from: 2016-01-01T00:00:00Z
  - id: check-up
    name: Booked, and at Maria Ortiz
    goal_logic: all
    active: true
    goals:
      - key: anywhere
        goal_type: appointment_booked
        criteria: {any_appointment: true}
        effective_from: 2016-01-01T00:00:00Z
      - key: maria-ortiz
        goal_type: appointment_booked
        criteria: {calendar_id: MARIA ORTIZ, any_appointment: false}
        effective_from: 2016-01-01T00:00:00Z
"""
# One for each clinic of the log; a JSON string is a YAML string too.
RETURN_TO = """\
  - id: {workflow}
    name: {name}
    goal_logic: any
    active: true
    goals:
      - key: again
        goal_type: appointment_booked
        criteria: {{calendar_id: {clinic}}}
        effective_from: 2016-01-01T00:00:00Z
"""
CATALOG = """\
catalog:
  calendar:
"""

Row = dict[str, Any]
# When it happened, and its place among what happened in the same instant: rows by number.
Placed = tuple[datetime, int, dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", type=Path, metavar="INPUT.csv")
    parser.add_argument("outdir", type=Path, metavar="OUTDIR")
    arguments = parser.parse_args()
    rows = read(arguments.input)
    events = [event for *_, event in sorted(convert(rows), key=lambda placed: placed[:2])]
    arguments.outdir.mkdir(parents=True, exist_ok=True)
    (arguments.outdir / "workflows.yaml").write_text(workflows(rows), encoding="utf-8")
    with (arguments.outdir / "events.jsonl").open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
    print(f"{len(events)} events in {arguments.outdir / 'events.jsonl'}")


def read(path: Path) -> list[Row]:
    """The rows, numbered from 1 after the header. A patient's id is kept as it is written."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {
                **row,
                "number": number,
                "at": datetime.fromisoformat(row["booked_at"]),
                "day": datetime.fromisoformat(row["appointment_day"]),
            }
            for number, row in enumerate(csv.DictReader(file), start=1)
        ]


def workflows(rows: list[Row]) -> str:
    clinics = sorted({str(row["clinic"]) for row in rows})
    returns = (
        RETURN_TO.format(
            workflow=quoted(f"return-to:{clinic}"),
            name=quoted(f"Come back to {clinic}"),
            clinic=quoted(clinic),
        )
        for clinic in clinics
    )
    calendars = (f"    - {{id: {quoted(clinic)}, name: {quoted(clinic)}}}\n" for clinic in clinics)
    return "".join([WORKFLOWS, *returns, CATALOG, *calendars])


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def convert(rows: list[Row]) -> Iterator[Placed]:
    for row in rows:
        yield booked(row)
        yield from return_to(row)
    for patient in sorted({str(row["patient_id"]) for row in rows}):
        yield from spring(patient)
        yield started("district", f"district:{patient}", patient, DISTRICT_FROM)
        yield started("check-up", f"checkup:{patient}", patient, CHECK_UP_FROM)


def booked(row: Row) -> Placed:
    data = {
        "calendar_id": row["clinic"],
        "appointment_id": row["appointment_id"],
        "appointment_day": row["appointment_day"],
    }
    event_id = f"appointments-{row['number']}"
    created = event("appointment.booked", event_id, row["at"], row["patient_id"], data)
    return row["at"], row["number"], created


def spring(patient: str) -> Iterator[Placed]:
    """Announced on the 1st, but patients are enrolled as of the 5th; over on the 25th."""
    enrollment = f"spring:{patient}"
    at, place, created = started("spring", enrollment, patient, SPRING_SENT)
    created["data"]["enrolled_at"] = SPRING_FROM.isoformat()
    yield at, place, created
    yield ended("spring", enrollment, patient, SPRING_TO, "completed")


def return_to(row: Row) -> Iterator[Placed]:
    """Each booking starts a new enrollment, until its appointment's day is over."""
    workflow, enrollment = f"return-to:{row['clinic']}", f"return:{row['appointment_id']}"
    patient = row["patient_id"]
    yield started(workflow, enrollment, patient, row["at"] + RIGHT_AFTER)
    yield ended(workflow, enrollment, patient, row["day"] + timedelta(days=1), "completed")


def started(workflow: str, enrollment: str, patient: str, at: datetime) -> Placed:
    data = {"workflow_id": workflow, "enrollment_id": enrollment}
    kind = "workflow.enrollment.started"
    return at, 0, event(kind, f"started-{enrollment}", at, patient, data)


def ended(workflow: str, enrollment: str, patient: str, at: datetime, reason: str) -> Placed:
    data = {"workflow_id": workflow, "enrollment_id": enrollment, "reason": reason}
    kind = "workflow.enrollment.ended"
    return at, 0, event(kind, f"ended-{enrollment}", at, patient, data)


def event(
    kind: str, event_id: str, at: datetime, patient: str, data: dict[str, Any]
) -> dict[str, Any]:
    """A CloudEvent. Its id is created of the row's number, so a second run makes the same."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "examples/appointments",
        "type": kind,
        "time": at.isoformat(),
        "tenantid": TENANT,
        "data": {"contact_id": patient, **data},
    }


if __name__ == "__main__":
    main()
