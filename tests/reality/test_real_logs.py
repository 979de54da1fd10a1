"""Replays real event logs into a running goald, which also serves other tests.

goald must record exactly the achievements of an independent computation. A second replay must
change nothing.
"""

import json
from pathlib import Path

import pytest
from tests.support.data.independent_sql import EXPECTED
from tests.support.data.real_logs import achieved, assert_exits_are_the_completions, real_log
from tests.support.services.daemon import Daemon


def replay(daemon: Daemon, events: Path) -> None:
    """Run `goald replay`, and wait until `goald status --json` reports a lag of 0."""
    result = daemon.run("replay", str(events), "--json")
    assert result.returncode == 0, result.stderr
    with events.open("rb") as lines:
        assert json.loads(result.stdout)["sent"] == sum(1 for _ in lines)

    def status() -> int:
        return int(json.loads(daemon.run("status", "--json").stdout)["lag"])

    daemon.until("lag of 0", lambda: status() == 0)


@pytest.mark.parametrize("name", EXPECTED)
def test_replaying_a_log_records_exactly_the_expected_achievements_once(
    daemon: Daemon, name: str, tmp_path: Path
) -> None:
    log = real_log(name, tmp_path)
    result = daemon.run("apply", str(log.workflows))
    assert result.returncode == 0, result.stderr
    replay(daemon, log.events)
    assert achieved(daemon, log.tenant) == log.expected
    assert_exits_are_the_completions(daemon, log.tenant)
    assert [each for each in daemon.dead() if log.tenant.encode() in each.event] == []

    rows = (
        "SELECT * FROM goald.workflow_enrollments WHERE tenant_id = %s ORDER BY id",
        "SELECT * FROM goald.workflow_goal_achievements WHERE tenant_id = %s ORDER BY id",
    )
    before = [daemon.sql(query, log.tenant) for query in rows], daemon.exits(log.tenant)
    replay(daemon, log.events)
    after = [daemon.sql(query, log.tenant) for query in rows], daemon.exits(log.tenant)
    assert after == before
