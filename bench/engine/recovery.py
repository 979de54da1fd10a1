"""Recovery of a shard with sleeping executions: from SIGKILL to the job of a new execution.

    python -m bench.engine.recovery [--executions 1000000] [--rounds 3] [--json]

Runs the daemon's actors with one shard, Valkey and Postgres (durable, fsync on) on this machine.
Fills Postgres with executions that sleep for 30 days, each of another contact. After the kill, an
event triggers a workflow whose first step is an action. Measures when the new process is ready,
and when the job is published.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import asyncpg

from bench.recovery import POLL_SECONDS, TIMEOUT_SECONDS, Observer
from bench.stage import Stage
from goald.adapters.redis.connect import connect
from goald.client import Publisher, event
from goald.configuration.file import parse_configuration
from goald.domain.actions.gates import ActionType
from goald.domain.streams import DEFAULT_STREAMS
from goald.redis_keys import action_stream
from goald.runtime.actors.ray_cluster import RayCluster
from goald.runtime.actors.supervisor import Supervisor
from goald.runtime.wiring.daemon import configuration_service
from goald.settings import Settings

TENANT = "bench"
WORKFLOWS = """\
tenant: bench
workflows:
  - id: asleep
    name: Asleep
    active: true
    goals: [{goal_type: purchase_made, criteria: {any_purchase: true}}]
    trigger: {on: form_submitted, criteria: {form_id: asleep}}
    steps:
      - {id: pause, wait: {for: 30d}}
      - {id: act, action: noop}
  - id: awake
    name: Awake
    active: true
    goals: [{goal_type: purchase_made, criteria: {any_purchase: true}}]
    trigger: {on: form_submitted, criteria: {form_id: awake}}
    steps:
      - {id: act, action: noop}
"""
FILL = (
    """
INSERT INTO goald.workflow_enrollments
    (tenant_id, id, contact_id, workflow_id, slot, status, enrolled_at)
SELECT 'bench', md5(n::text)::uuid::text, md5('c' || n)::uuid::text, 'asleep', n % 256, 'active',
       now() - n * interval '1 second'
FROM generate_series(1, $1::int) n
""",
    """
INSERT INTO goald.workflow_executions (tenant_id, id, contact_id, workflow_id, slot, version,
    status, state, waiting_for, step_id, step_index, total_steps, visit, attempt, retry_count, hops,
    zone, since, since_seq, due_at, done_steps, migrates, used_event, created_at)
SELECT tenant_id, id, contact_id, workflow_id, slot, 1, 'PAUSED', 'sleeping', 'timer', 'pause', 1,
    2, 1, 0, 0, 0, 'UTC', enrolled_at, 0, now() + interval '30 days', '', false, false, enrolled_at
FROM goald.workflow_enrollments
""",
    "VACUUM ANALYZE goald.workflow_enrollments, goald.workflow_executions",
    "CHECKPOINT",
)


@dataclass(frozen=True)
class Recovery:
    """One recovery. Seconds after the kill."""

    executions: int
    ready_s: float
    job_s: float
    load: float
    """The load average of the machine."""


async def fill(stage: Stage, executions: int) -> None:
    """Publish the workflows, and insert sleeping executions."""
    service = configuration_service(stage.postgres_dsn)
    await service.apply(parse_configuration(WORKFLOWS))
    await service.close()
    connection = await asyncpg.connect(stage.admin_dsn)
    try:
        for statement in FILL:
            arguments = (executions,) if "$1" in statement else ()
            await connection.execute(statement, *arguments)
    finally:
        await connection.close()


async def recover(stage: Stage, observer: Observer, executions: int, contact: str) -> Recovery:
    """Kill the shard, trigger an execution, and wait for its job."""
    before = await observer.shard()
    redis = connect(stage.redis_url)
    stream = action_stream(ActionType("noop"))
    jobs = await redis.xlen(stream)
    async with Publisher(stage.redis_url) as publisher:
        os.kill(before.pid, signal.SIGKILL)
        killed = time.perf_counter()
        await publisher.publish(event("form.submitted", TENANT, contact, {"form_id": "awake"}))
    ready_s = None
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while await redis.xlen(stream) == jobs:
            if ready_s is None:
                now = await observer.shard()
                if now.pid != before.pid and now.ready:
                    ready_s = time.perf_counter() - killed
            await asyncio.sleep(POLL_SECONDS)
    job_s = time.perf_counter() - killed
    await redis.aclose()
    return Recovery(
        executions, round(ready_s or job_s, 2), round(job_s, 2), round(os.getloadavg()[0], 1)
    )


async def measure(executions: int, rounds: int) -> list[Recovery]:
    """Kill the only shard `rounds` times."""
    with (
        tempfile.TemporaryDirectory(prefix="goald-") as directory,
        Stage(Path(directory)) as stage,
    ):
        await fill(stage, executions)
        settings = Settings(redis_url=stage.redis_url, postgres_dsn=stage.postgres_dsn, shards=1)
        cluster = RayCluster(stage.short / "ray", None)
        cluster.start(stage.record)
        supervisor = Supervisor(settings, stage.endpoints(settings), DEFAULT_STREAMS)
        connection = await asyncpg.connect(stage.admin_dsn)
        observer = Observer(stage, connection)
        try:
            await supervisor.start()
            return [
                await recover(stage, observer, executions, f"new-{number}")
                for number in range(rounds)
            ]
        finally:
            await supervisor.stop()
            cluster.stop()
            await observer.close()
            await connection.close()


def main() -> None:
    """Print the results. Takes some minutes for a million executions."""
    parser = argparse.ArgumentParser(prog="python -m bench.engine.recovery")
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = asyncio.run(measure(options.executions, options.rounds))
    if options.json:
        print(json.dumps([asdict(each) for each in found]))
        return
    for name in ("ready_s", "job_s"):
        seconds = [getattr(each, name) for each in found]
        print(
            f"{options.executions:>9,} executions  {name:<8} median"
            f" {statistics.median(seconds):5.2f}  longest {max(seconds):5.2f}  of {len(seconds)}"
        )


if __name__ == "__main__":
    main()
