"""The real event logs: where they are, what the converters make of them, and what a running
goald has made of that.

The logs are not part of the project: GOALD_TEST_DATA names their directory, or they are in
../shared/data beside the project. A test that asks for one that is absent is passed over.
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
    """A log, converted."""

    tenant: str
    workflows: Path
    """The file for `goald apply`."""
    events: Path
    """The file for `goald replay`."""
    expected: list[Achieved]
    """Computed from the log itself, sorted."""


def real_log(name: str, outdir: Path) -> RealLog:
    """Convert a log as its user would, and compute what is expected of it."""
    path = DATA / f"{name}.csv"
    if not path.is_file():
        pytest.skip(f"passed over: no real event log at {path}; set GOALD_TEST_DATA to a folder")
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
    """Every achievement of a tenant that Postgres holds, sorted."""
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
    """An enrollment that is completed by its goals has one exit, whose id no other has and
    which names the event of the last achievement; no other enrollment has any."""
    completed = {
        (enrollment, contact, workflow)
        for enrollment, contact, workflow in daemon.sql(
            "SELECT id, contact_id, workflow_id FROM goald.workflow_enrollments"
            " WHERE tenant_id = %s AND status = 'completed_goal'",
            tenant,
        )
    }
    exits = {each.id: each for each in daemon.exits(tenant)}.values()
    left = [(each.enrollment_id, each.contact_id, each.workflow_id) for each in exits]
    assert len(left) == len(set(left))
    assert set(left) == completed
    by_enrollment: dict[str, set[str]] = {}
    for row in achieved(daemon, tenant):
        by_enrollment.setdefault(row.enrollment, set()).add(row.event_id)
    for each in exits:
        assert each.trigger_event.id in by_enrollment[each.enrollment_id]
