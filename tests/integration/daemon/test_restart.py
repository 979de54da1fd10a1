"""goald is killed during a replay and restarted on the same data (D1, D2)."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support.data.real_logs import achieved, assert_exits_are_the_completions, real_log
from tests.support.services.daemon import GOALD, Daemon, left_of

RATE = 5_000
"""Events per second: slow enough to kill goald during the replay."""


def test_kills_during_a_replay_change_no_achievement(
    make_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    log = real_log("purchases", tmp_path)
    daemon = make_daemon()
    daemon.start()
    assert daemon.run("apply", str(log.workflows)).returncode == 0

    for share, kill in ((0.2, daemon.kill_driver), (0.5, daemon.kill_everything)):
        sender = subprocess.Popen(
            [*GOALD, "replay", str(log.events), "--rate", str(RATE)],
            env=daemon.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            enough = int(share * len(log.expected))
            daemon.until(
                "achievements",
                lambda: len(achieved(daemon, log.tenant)) >= enough,  # noqa: B023
            )
            family = daemon.family()
            kill()
        finally:
            sender.kill()
            sender.wait()
        daemon.start()
        assert left_of(family) == []
        daemon.until_lag_zero()
        found = achieved(daemon, log.tenant)
        assert enough <= len(found) < len(log.expected), "it was not killed during the replay"
        assert set(found) <= set(log.expected)

    # The sender starts again from the beginning. Events sent before change nothing.
    assert daemon.run("replay", str(log.events)).returncode == 0
    daemon.until_lag_zero()
    assert achieved(daemon, log.tenant) == log.expected
    assert_exits_are_the_completions(daemon, log.tenant)
    assert daemon.dead() == []

    assert daemon.stop() == 0, daemon.printed()
