"""Turns purchases of a shop (customer_id, date, quantity, amount) into what goald takes.

    python examples/purchases.py INPUT.csv OUTDIR

Writes OUTDIR/workflows.yaml for `goald apply` and OUTDIR/events.jsonl for `goald replay`,
in time order. See examples/README.md for the workflows and for the treatment of bad rows.
"""

import argparse
import csv
import json
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

TENANT = "music-shop"
# The log has days, not times: every purchase is taken to be at noon, in the file's order.
NOON = time(12)
# The enrollment that a purchase starts begins one microsecond after it. Otherwise a redelivered
# purchase would count for the enrollment that it started.
RIGHT_AFTER = timedelta(microseconds=1)
BIG_SPENDER_FROM, BIG_SPENDER_TO = date(1997, 3, 1), date(1997, 12, 1)
ASLEEP, GIVEN_UP = timedelta(days=90), timedelta(days=150)
LOG_ENDS = date(1998, 6, 30)

WORKFLOWS = """\
tenant: music-shop
workflows:
  - id: second-purchase
    name: Make it a second purchase
    goal_logic: any
    active: true
    goals:
      - key: bought-again
        goal_type: purchase_made
        criteria: {any_purchase: true}
        effective_from: 1997-01-01T00:00:00Z
  - id: big-spender
    name: Spring campaign for larger baskets
    goal_logic: any
    active: true
    goals:
      - key: hundred
        goal_type: purchase_made
        criteria: {min_amount: "100.00", currency: USD}
        effective_from: 1997-01-01T00:00:00Z
      - key: forty
        goal_type: purchase_made
        criteria: {min_amount: "40.00", currency: USD}
        effective_from: 1997-06-01T00:00:00Z
  - id: loyal
    name: Small, middle and large basket within a year
    goal_logic: all
    active: true
    goals:
      - key: ten
        goal_type: purchase_made
        criteria: {min_amount: 10}
        effective_from: 1997-01-01T00:00:00Z
      - key: twenty-five
        goal_type: purchase_made
        criteria: {min_amount: "25.00"}
        effective_from: 1997-01-01T00:00:00Z
      - key: sixty
        goal_type: purchase_made
        criteria: {min_amount: "60"}
        effective_from: 1997-01-01T00:00:00Z
  - id: win-back
    name: Ninety days of silence
    goal_logic: any
    active: true
    goals:
      - key: big-return
        goal_type: purchase_made
        criteria: {min_amount: "50.00"}
        effective_from: 1997-01-01T00:00:00Z
      - key: return
        goal_type: purchase_made
        criteria: {any_purchase: true}
        effective_from: 1997-01-01T00:00:00Z
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
    """The rows, numbered from 1 after the header: two equal rows are two purchases."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {**row, "number": number, "day": date.fromisoformat(row["date"])}
            for number, row in enumerate(csv.DictReader(file), start=1)
        ]


def convert(rows: list[Row]) -> Iterator[Placed]:
    by_customer = sorted(rows, key=lambda row: (row["customer_id"], row["day"], row["number"]))
    for customer, group in groupby(by_customer, key=lambda row: str(row["customer_id"])):
        history = list(group)
        for row in history:
            yield purchase(row)
        yield from second_purchase(customer, history[0])
        yield from big_spender(customer, history[0])
        yield from loyal(customer, history)
        yield from win_back(customer, history)


def purchase(row: Row) -> Placed:
    data = {"amount": row["amount"], "currency": "USD", "quantity": int(row["quantity"])}
    at = datetime.combine(row["day"], NOON)
    customer, event_id = row["customer_id"], f"purchases-{row['number']}"
    return at, row["number"], event("payment.completed", event_id, at, customer, data)


def second_purchase(customer: str, first: Row) -> Iterator[Placed]:
    """Enrolled by the first purchase; another one of that day is part of it."""
    at = datetime.combine(first["day"], NOON) + RIGHT_AFTER
    yield started("second-purchase", f"second:{customer}", customer, at)


def big_spender(customer: str, first: Row) -> Iterator[Placed]:
    """Every customer known by March 1997; the campaign ends in December."""
    if first["day"] < BIG_SPENDER_FROM:
        workflow, enrollment = "big-spender", f"big:{customer}"
        begin, end = midnight(BIG_SPENDER_FROM), midnight(BIG_SPENDER_TO)
        yield started(workflow, enrollment, customer, begin)
        yield ended(workflow, enrollment, customer, end, "completed")


def loyal(customer: str, history: list[Row]) -> Iterator[Placed]:
    """A new enrollment each year, as of the year's first purchase, which counts."""
    for year, rows in groupby(history, key=lambda row: int(row["day"].year)):
        at = datetime.combine(next(rows)["day"], NOON)
        enrollment = f"loyal:{customer}:{year}"
        yield started("loyal", enrollment, customer, at)
        if year < LOG_ENDS.year:
            new_year = midnight(date(year + 1, 1, 1))
            yield ended("loyal", enrollment, customer, new_year, "exited")


def win_back(customer: str, history: list[Row]) -> Iterator[Placed]:
    """After 90 days without a purchase, for 60 days."""
    for row, following in zip(history, [*history[1:], None], strict=True):
        begin, end = row["day"] + ASLEEP, row["day"] + GIVEN_UP
        if begin > LOG_ENDS or (following is not None and following["day"] < begin):
            continue
        enrollment = f"winback:{customer}:{row['number']}"
        yield started("win-back", enrollment, customer, midnight(begin))
        if end <= LOG_ENDS:
            yield ended("win-back", enrollment, customer, midnight(end), "cancelled")


def midnight(day: date) -> datetime:
    return datetime.combine(day, time())


def started(workflow: str, enrollment: str, customer: str, at: datetime) -> Placed:
    data = {"workflow_id": workflow, "enrollment_id": enrollment}
    kind = "workflow.enrollment.started"
    return at, 0, event(kind, f"started-{enrollment}", at, customer, data)


def ended(workflow: str, enrollment: str, customer: str, at: datetime, reason: str) -> Placed:
    data = {"workflow_id": workflow, "enrollment_id": enrollment, "reason": reason}
    kind = "workflow.enrollment.ended"
    return at, 0, event(kind, f"ended-{enrollment}", at, customer, data)


def event(
    kind: str, event_id: str, at: datetime, customer: str, data: dict[str, Any]
) -> dict[str, Any]:
    """A CloudEvent. Its id is created of the row's number, so a second run makes the same."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "examples/purchases",
        "type": kind,
        "time": at.isoformat() + "Z",
        "tenantid": TENANT,
        "data": {"contact_id": customer, **data},
    }


if __name__ == "__main__":
    main()
