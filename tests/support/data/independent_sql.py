"""Computes the achievements of the three real logs from their CSV files, in SQL.

The computation is independent of goald and of the output of examples/. It does not process
single events: enrollments, rows that meet goals, and their order are sets, which SQLite
joins and ranks. examples/README.md describes the workflows.

Rows with the same time are in the order of the file. Enrollments begin and end before the
rows of the same time.
"""

import csv
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Achieved(NamedTuple):
    """One achievement, as goald must record it. `goal` is the goal's key in workflows.yaml."""

    tenant: str
    workflow: str
    enrollment: str
    contact: str
    goal: str
    goal_type: str
    achieved_at_us: int
    event_id: str


_TABLES = """
CREATE TABLE happened (number INTEGER PRIMARY KEY, contact TEXT, t INTEGER);
CREATE TABLE enrolled (id TEXT PRIMARY KEY, workflow TEXT, contact TEXT,
                       from_t INTEGER, until_t INTEGER);
CREATE TABLE goal (workflow TEXT, logic TEXT, position INTEGER, key TEXT, effective TEXT);
-- Rows that meet the criteria of a goal, regardless of enrollments.
CREATE TABLE satisfies (number INTEGER, workflow TEXT, key TEXT);
"""

# For an `any` enrollment, the first row that meets a goal counts, for the oldest of the goals
# that it meets. For an `all` enrollment, the first row of each goal counts.
_ACHIEVED = """
WITH met AS (
    SELECT e.id, e.workflow, e.contact, g.logic, g.key, g.position, h.t, h.number
    FROM enrolled e
    JOIN goal g ON g.workflow = e.workflow
    JOIN satisfies s ON s.workflow = g.workflow AND s.key = g.key
    JOIN happened h ON h.number = s.number AND h.contact = e.contact
    WHERE h.t >= e.from_t
      AND h.t >= unixepoch(g.effective) * 1000000
      AND (e.until_t IS NULL OR h.t < e.until_t)
), ranked AS (
    SELECT *,
        row_number() OVER (PARTITION BY id ORDER BY t, number, position) AS of_all_goals,
        row_number() OVER (PARTITION BY id, key ORDER BY t, number) AS of_this_goal
    FROM met
)
SELECT workflow, id, contact, key, t, number FROM ranked
WHERE CASE logic WHEN 'any' THEN of_all_goals ELSE of_this_goal END = 1
"""

_PURCHASES = """
INSERT INTO happened
SELECT number, customer_id, unixepoch(date || ' 12:00:00') * 1000000 FROM csv;

INSERT INTO goal VALUES
    ('second-purchase', 'any', 0, 'bought-again', '1997-01-01'),
    ('big-spender', 'any', 0, 'hundred', '1997-01-01'),
    ('big-spender', 'any', 1, 'forty', '1997-06-01'),
    ('loyal', 'all', 0, 'ten', '1997-01-01'),
    ('loyal', 'all', 1, 'twenty-five', '1997-01-01'),
    ('loyal', 'all', 2, 'sixty', '1997-01-01'),
    ('win-back', 'any', 0, 'big-return', '1997-01-01'),
    ('win-back', 'any', 1, 'return', '1997-01-01');

-- In cents, which is exact, because amounts have two decimals in this log.
WITH minimum (workflow, key, cents) AS (VALUES
    ('second-purchase', 'bought-again', 0), ('big-spender', 'hundred', 10000),
    ('big-spender', 'forty', 4000), ('loyal', 'ten', 1000), ('loyal', 'twenty-five', 2500),
    ('loyal', 'sixty', 6000), ('win-back', 'big-return', 5000), ('win-back', 'return', 0))
INSERT INTO satisfies
SELECT number, workflow, key FROM csv JOIN minimum
ON CAST(replace(amount, '.', '') AS INTEGER) >= cents;

CREATE TABLE ordered AS
SELECT number, contact, t, date,
    row_number() OVER (PARTITION BY contact ORDER BY t, number) AS nth,
    row_number() OVER (PARTITION BY contact, substr(date, 1, 4) ORDER BY t, number) AS of_year,
    lead(date) OVER (PARTITION BY contact ORDER BY t, number) AS next_date
FROM happened JOIN csv USING (number);

INSERT INTO enrolled
SELECT 'second:' || contact, 'second-purchase', contact, t + 1, NULL
FROM ordered WHERE nth = 1
UNION ALL
SELECT 'big:' || contact, 'big-spender', contact, unixepoch('1997-03-01') * 1000000,
    unixepoch('1997-12-01') * 1000000
FROM ordered WHERE nth = 1 AND date < '1997-03-01'
UNION ALL
SELECT 'loyal:' || contact || ':' || substr(date, 1, 4), 'loyal', contact, t,
    CASE substr(date, 1, 4) WHEN '1997' THEN unixepoch('1998-01-01') * 1000000 END
FROM ordered WHERE of_year = 1
UNION ALL
SELECT 'winback:' || contact || ':' || number, 'win-back', contact,
    unixepoch(date(date, '+90 days')) * 1000000, unixepoch(date(date, '+150 days')) * 1000000
FROM ordered
WHERE date(date, '+90 days') <= '1998-06-30'
  AND coalesce(next_date >= date(date, '+90 days'), true);
"""

_STAGES = """
-- The time in seconds, with its offset, and the microseconds separately.
INSERT INTO happened
SELECT number, case_id, unixepoch(substr(time, 1, 19) || substr(time, 27)) * 1000000
    + CAST(substr(time, 21, 6) AS INTEGER)
FROM csv;

INSERT INTO goal VALUES
    ('receipt', 'all', 0, 'checked', '2010-01-01'),
    ('receipt', 'all', 1, 'determined', '2010-01-01'),
    ('receipt', 'all', 2, 'sent', '2011-01-01'),
    ('advice', 'any', 0, 'stop-indication', '2010-01-01'),
    ('advice', 'any', 1, 'stop-advice', '2010-01-01'),
    ('after-check', 'any', 0, 'determined', '2010-01-01');

WITH asked (workflow, key, prefix) AS (VALUES
    ('receipt', 'checked', 'T02'), ('receipt', 'determined', 'T04'), ('receipt', 'sent', 'T05'),
    ('advice', 'stop-indication', 'T10'), ('advice', 'stop-advice', 'T06'),
    ('after-check', 'determined', 'T04'))
INSERT INTO satisfies
SELECT number, workflow, key FROM csv JOIN asked ON substr(stage, 1, 4) = prefix || ' '
WHERE department = 'General' OR channel <> 'Internet';

CREATE TABLE ordered AS
SELECT number, contact, t, channel, stage,
    row_number() OVER (PARTITION BY contact ORDER BY t, number) AS nth,
    row_number() OVER (PARTITION BY contact, stage ORDER BY t, number) AS of_stage
FROM happened JOIN csv USING (number);

INSERT INTO enrolled
SELECT 'receipt:' || contact, 'receipt', contact, t, NULL FROM ordered WHERE nth = 1
UNION ALL
SELECT 'advice:' || contact, 'advice', contact, t + 3600000000,
    CASE WHEN channel IN ('Desk', 'Post') THEN t + 86400000000 END
FROM ordered WHERE nth = 1
UNION ALL
SELECT 'check:' || contact || ':' || of_stage, 'after-check', contact, t + 1, NULL
FROM ordered WHERE substr(stage, 1, 4) = 'T02 ';
"""

_APPOINTMENTS = """
INSERT INTO happened SELECT number, patient_id, unixepoch(booked_at) * 1000000 FROM csv;

INSERT INTO goal VALUES
    ('spring', 'any', 0, 'booked', '2016-01-01'),
    ('district', 'any', 0, 'jabour', '2016-01-01'),
    ('district', 'any', 1, 'centro', '2016-04-20'),
    ('district', 'any', 2, 'itarare', '2016-01-01'),
    ('check-up', 'all', 0, 'anywhere', '2016-01-01'),
    ('check-up', 'all', 1, 'maria-ortiz', '2016-01-01');
INSERT INTO goal
SELECT DISTINCT 'return-to:' || clinic, 'any', 0, 'again', '2016-01-01' FROM csv;

INSERT INTO satisfies
SELECT number, 'return-to:' || clinic, 'again' FROM csv
UNION ALL SELECT number, 'spring', 'booked' FROM csv
UNION ALL SELECT number, 'check-up', 'anywhere' FROM csv
UNION ALL SELECT number, 'check-up', 'maria-ortiz' FROM csv WHERE clinic = 'MARIA ORTIZ'
UNION ALL SELECT number, 'district', 'jabour' FROM csv WHERE clinic = 'JABOUR'
UNION ALL SELECT number, 'district', 'centro' FROM csv WHERE clinic = 'CENTRO'
UNION ALL SELECT number, 'district', 'itarare' FROM csv WHERE clinic = 'ITARARÉ';

INSERT INTO enrolled
SELECT 'return:' || appointment_id, 'return-to:' || clinic, patient_id, t + 1,
    unixepoch(appointment_day, '+1 day') * 1000000
FROM csv JOIN happened USING (number)
UNION ALL
SELECT DISTINCT 'spring:' || patient_id, 'spring', patient_id,
    unixepoch('2016-04-05') * 1000000, unixepoch('2016-04-25') * 1000000 FROM csv
UNION ALL
SELECT DISTINCT 'district:' || patient_id, 'district', patient_id,
    unixepoch('2016-03-01') * 1000000, NULL FROM csv
UNION ALL
SELECT DISTINCT 'checkup:' || patient_id, 'check-up', patient_id,
    unixepoch('2016-04-15') * 1000000, NULL FROM csv;
"""


def purchases(path: Path) -> list[Achieved]:
    """The achievements of purchases.csv, sorted."""
    return _compute(path, _PURCHASES, "music-shop", "purchase_made", "purchases-{}")


def stages(path: Path) -> list[Achieved]:
    """The achievements of stages.csv, sorted."""
    return _compute(path, _STAGES, "permits", "pipeline_stage_reached", "stages-{}")


def appointments(path: Path) -> list[Achieved]:
    """The achievements of appointments.csv, sorted."""
    return _compute(path, _APPOINTMENTS, "clinics", "appointment_booked", "appointments-{}")


EXPECTED: dict[str, Callable[[Path], list[Achieved]]] = {
    "purchases": purchases,
    "stages": stages,
    "appointments": appointments,
}
"""Computations by the name of the log, which is also that of its script in examples/."""


def _compute(path: Path, script: str, tenant: str, goal_type: str, event: str) -> list[Achieved]:
    base = sqlite3.connect(":memory:")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        columns = ", ".join(f"{name} TEXT" for name in header)
        base.execute(f"CREATE TABLE csv (number INTEGER PRIMARY KEY, {columns})")
        placeholders = ", ".join("?" * (len(header) + 1))
        numbered = [(number, *row) for number, row in enumerate(rows, start=1)]
        base.executemany(f"INSERT INTO csv VALUES ({placeholders})", numbered)
        base.executescript(_TABLES + script)
        # Without these indexes, the joins of the ranking compare every row with every other.
        base.executescript(
            "CREATE INDEX by_contact ON happened (contact);"
            "CREATE INDEX by_number ON satisfies (number, workflow, key); ANALYZE;"
        )
        return sorted(
            Achieved(tenant, workflow, id_, contact, key, goal_type, t, event.format(number))
            for workflow, id_, contact, key, t, number in base.execute(_ACHIEVED)
        )
    finally:
        base.close()
