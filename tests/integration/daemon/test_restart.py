"""goald is killed during a replay and restarted on the same data (D1, D2)."""

import subprocess
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from tests.support.data.real_logs import (
    RealLog,
    achieved,
    assert_exits_are_the_completions,
    real_log,
)
from tests.support.services.daemon import GOALD, Daemon, left_of

SENT_AT_A_TIME = 500
"""Events that are sent before the achievements are read again."""
HELD_BACK = 0.1
"""The share of the events that is not sent before the kill, however late it comes."""


def send_until(
    daemon: Daemon, sender: "subprocess.Popen[bytes]", log: RealLog, enough: int
) -> None:
    """Give the sender events, in order, until goald has recorded `enough` achievements. The sender
    then waits for more, and goald processes the latest events."""
    assert sender.stdin is not None
    lines = log.events.read_bytes().splitlines(keepends=True)
    unsent = iter(lines[: int((1 - HELD_BACK) * len(lines))])
    pipe = sender.stdin

    def there_are_enough() -> bool:
        pipe.write(b"".join(islice(unsent, SENT_AT_A_TIME)))
        pipe.flush()
        return len(achieved(daemon, log.tenant)) >= enough

    daemon.until("achievements", there_are_enough)


def test_kills_during_a_replay_change_no_achievement(
    make_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    log = real_log("purchases", tmp_path)
    daemon = make_daemon()
    daemon.start()
    assert daemon.run("apply", str(log.workflows)).returncode == 0

    for share, kill in ((0.2, daemon.kill_driver), (0.5, daemon.kill_everything)):
        enough = int(share * len(log.expected))
        with subprocess.Popen(
            [*GOALD, "replay", "-"],
            env=daemon.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as sender:
            try:
                send_until(daemon, sender, log, enough)
                family = daemon.family()
                kill()
            finally:
                sender.kill()
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
