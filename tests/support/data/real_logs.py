"""Real event logs: converts them, and reads the achievements that a running goald recorded.

The logs are not part of the project. They are read from the directory GOALD_TEST_DATA, by
default from ../shared/data. A test is skipped if its log is missing.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.data.independent_sql import EXPECTED, Achieved
from tests.support.services.daemon import Daemon

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("GOALD_TEST_DATA") or ROOT.parent / "shared" / "data")


@dataclass(frozen=True)
class RealLog:
    """A converted log."""

    tenant: str
    workflows: Path
    """Input of `goald apply`."""
    events: Path
    """Input of `goald replay`."""
    expected: list[Achieved]
    """The expected achievements, computed from the log, sorted."""


def real_log(name: str, outdir: Path) -> RealLog:
    """Convert a log with its script in examples/, and compute the expected achievements."""
    path = DATA / f"{name}.csv"
    if not path.is_file():
        pytest.skip(f"no event log at {path}: set GOALD_TEST_DATA to the directory of the logs")
    script = ROOT / "examples" / f"{name}.py"
    subprocess.run([sys.executable, script, path, outdir], check=True, capture_output=True)
    expected = EXPECTED[name](path)
    return RealLog(
        tenant=expected[0].tenant,
        workflows=outdir / "workflows.yaml",
        events=outdir / "events.jsonl",
        expected=expected,
    )


def achieved(daemon: Daemon, tenant: str) -> list[Achieved]:
    """All stored achievements of a tenant, sorted."""
    rows = daemon.sql(
        "SELECT a.tenant_id, a.workflow_id, a.workflow_enrollment_id, a.contact_id, g.key,"
        " a.goal_type, (extract(epoch FROM a.achieved_at) * 1000000)::bigint,"
        " a.metadata->>'event_id'"
        " FROM goald.workflow_goal_achievements a JOIN goald.workflow_goals g"
        " ON g.tenant_id = a.tenant_id AND g.id = a.goal_config_id WHERE a.tenant_id = %s",
        tenant,
    )
    return sorted(Achieved(*row) for row in rows)


def assert_exits_are_the_completions(daemon: Daemon, tenant: str) -> None:
    """Each enrollment with the status completed_goal has one exit with a unique id, which names
    the event of an achievement. Other enrollments have no exit."""
    completed = {
        (enrollment, contact, workflow)
        for enrollment, contact, workflow in daemon.sql(
            "SELECT id, contact_id, workflow_id FROM goald.workflow_enrollments"
            " WHERE tenant_id = %s AND status = 'completed_goal'",
            tenant,
        )
    }
    exits = {each.id: each for each in daemon.exits(tenant)}.values()
    exited = [(each.enrollment_id, each.contact_id, each.workflow_id) for each in exits]
    assert len(exited) == len(set(exited))
    assert set(exited) == completed
    by_enrollment: dict[str, set[str]] = {}
    for row in achieved(daemon, tenant):
        by_enrollment.setdefault(row.enrollment, set()).add(row.event_id)
    for each in exits:
        assert each.trigger_event.id in by_enrollment[each.enrollment_id]
