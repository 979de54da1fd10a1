"""Records the calls of one run and the changes in Redis, and reads the rows at its end."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psycopg
import redis
from tests.fault.executions.evidence import Call, Evidence, Key, Stop, StoredExecution
from tests.fault.executions.redis_log import RedisLog
from tests.fault.executions.workload import SLOW, STEPS, TENANTS, Races, configuration
from tests.fault.harness.environment import FaultEnvironment
from tests.fault.harness.servers import until

END_S: Final = 300.0
"""All executions must end within this time after the last event and the last fault: jobs of killed
workers are taken over after a minute."""

_COUNT_S: Final = 0.5

_ROWS: Final = """
SELECT tenant_id, id, contact_id, status, completion_reason,
       (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint
FROM goald.workflow_executions WHERE starts_with(contact_id, %s)
"""
_OPEN: Final = """
SELECT count(*) FILTER (WHERE ended_at IS NULL), count(*)
FROM goald.workflow_executions WHERE starts_with(contact_id, %s)
"""


class Recording:
    """The evidence of one run. Its contacts begin with a prefix."""

    def __init__(self, target: FaultEnvironment, prefix: str, calls: Path, log: RedisLog) -> None:
        self._target = target
        self._prefix = prefix
        self._calls = calls
        self.log = log

    @contextmanager
    def ended_counter(self, races: Races) -> Iterator[None]:
        """Update the number of executions that have ended, within the block."""
        stopped = threading.Event()

        def count() -> None:
            while not stopped.wait(_COUNT_S):
                with suppress(psycopg.Error, OSError):
                    ((still_open, all_),) = self._target.servers.postgres.sql(_OPEN, self._prefix)
                    races.ended = all_ - still_open

        thread = threading.Thread(target=count, name="count-ended", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def until_ended(self, races: Races) -> bool:
        """Wait until all executions have ended and their exits are published. Returns whether they
        have, within END_S."""

        def have_ended() -> bool:
            self._target.goald.restart_if_ended()
            try:
                ((still_open, all_),) = self._target.servers.postgres.sql(_OPEN, self._prefix)
                is_complete = (still_open, all_) == (0, len(races.started))
                return is_complete and self._target.unprocessed() == 0
            except (psycopg.Error, redis.RedisError, OSError):
                return False

        try:
            until("end of all executions", have_ended, END_S)
        except AssertionError:
            return False
        return True

    def evidence(self, races: Races, stops: Sequence[Stop] = ()) -> Evidence:
        """The evidence, when the run is over. `stops`: of workers."""
        self.log.drain()
        rows = self._target.servers.postgres.sql(_ROWS, self._prefix)
        executions: dict[Key, StoredExecution] = {
            (tenant, id_): StoredExecution((tenant, id_), contact, status, reason, at_us)
            for tenant, id_, contact, status, reason, at_us in rows
        }
        calls = read_calls(self._calls)
        return Evidence(self.log.history, calls, executions, races.started, STEPS, stops)


@contextmanager
def recording(target: FaultEnvironment, prefix: str, slow: float = SLOW) -> Iterator[Recording]:
    """Record a run: start a provider and configure workflows that call it."""
    calls = target.servers.path / f"calls-{prefix}.jsonl"
    log = RedisLog(target.servers.redis.directory)
    with _receiver(calls, slow) as url:
        target.configure(*(configuration(tenant, url) for tenant in TENANTS))
        log.start()
        try:
            yield Recording(target, prefix, calls, log)
        finally:
            log.stop()


@contextmanager
def _receiver(log: Path, slow: float) -> Iterator[str]:
    """The provider's process. Yields its URL."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fault.executions.receiver", str(log), str(slow)],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
        finally:
            process.kill()


def read_calls(path: Path) -> list[Call]:
    """The calls that the provider has recorded."""
    calls: dict[int, Mapping[str, Any]] = {}
    answered: dict[int, int] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            fields = json.loads(line)
            if "answered_ns" in fields:
                answered[fields["call"]] = fields["answered_ns"]
            else:
                calls[fields["call"]] = fields
    return [_call(fields, answered.get(number)) for number, fields in calls.items()]


def _call(fields: Mapping[str, Any], answered_ns: int | None) -> Call:
    body = fields["body"]
    return Call(
        key=fields["key"],
        execution=(body["tenant"], body["execution"]),
        step=body["step"],
        at_ns=fields["at_ns"],
        answered_ns=answered_ns,
        is_repeated=fields["is_repeated"],
        body=json.dumps(body, sort_keys=True),
    )
