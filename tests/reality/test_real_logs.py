"""Real event logs through a running goald: exactly the achievements of an independent
computation, whatever else it does meanwhile, and the same after a second replay."""

import json
from pathlib import Path

import pytest
from tests.support.data.independent_sql import EXPECTED
from tests.support.data.real_logs import achieved, assert_exits_are_the_completions, real_log
from tests.support.services.daemon import Daemon


def replay(daemon: Daemon, events: Path) -> None:
    """`goald replay`, and `goald status --json` until it says that all has taken effect."""
    ran = daemon.run("replay", str(events), "--json")
    assert ran.returncode == 0, ran.stderr
    with events.open("rb") as lines:
        assert json.loads(ran.stdout)["sent"] == sum(1 for _ in lines)

    def status() -> int:
        return int(json.loads(daemon.run("status", "--json").stdout)["lag"])

    daemon.until("lag of 0", lambda: status() == 0)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_real_log_leaves_exactly_the_expected_achievements(
    daemon: Daemon, name: str, tmp_path: Path
) -> None:
    log = real_log(name, tmp_path)
    ran = daemon.run("apply", str(log.workflows))
    assert ran.returncode == 0, ran.stderr
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
