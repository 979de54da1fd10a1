"""Postgres is replaced by an older copy, as from a backup or a lagging standby, while goald runs
(D10)."""

import asyncio
import json
import shutil
import time
from collections.abc import Iterator

import pytest
from tests.fault.harness.daemon_process import DaemonProcess
from tests.fault.harness.environment import FaultEnvironment, daemon_environment
from tests.fault.harness.history import Event, contact_of, encoded
from tests.fault.harness.probes import ExitWatch, probes
from tests.fault.harness.registry import IDLE_DEADLINE_S
from tests.fault.harness.servers import entries, until
from tests.fault.harness.workload import Probe

from goald.client import Publisher
from goald.redis_keys import epoch_key, event_stream

LOST_EPOCHS = 500
"""The epochs of some dozen starts."""


@pytest.fixture
def environment() -> Iterator[FaultEnvironment]:
    with daemon_environment(enrolled=0) as environment:
        environment.start()
        yield environment


def publish(environment: FaultEnvironment, events: list[Event]) -> None:
    async def send() -> None:
        async with Publisher(environment.redis_url) as publisher:
            for event in events:
                await publisher.publish_encoded(*contact_of(event), encoded(event))
            await publisher.flush()

    asyncio.run(send())


def wait_until_idle(environment: FaultEnvironment) -> None:
    assert environment.until_idle(time.monotonic() + IDLE_DEADLINE_S), environment.goald.printed()


def epoch(environment: FaultEnvironment) -> int:
    """The greatest epoch of a stream in Redis."""
    with environment.servers.redis.client() as client:
        return max(int(client.get(epoch_key(event_stream(number)))) for number in range(4))


def exit_ids(environment: FaultEnvironment) -> set[str]:
    """The ids of all exits."""
    with environment.servers.redis.client() as client:
        found = entries(client, "goald:exits", b"0-0")
        return {json.loads(fields[b"event"])["id"] for _, fields in found}


def kill_consumer(environment: FaultEnvironment) -> None:
    """Returns when its successor has acquired every stream, and goald is idle."""
    assert isinstance(environment.goald, DaemonProcess)
    victim, before = environment.goald.process_of("consumer:0"), epoch(environment)
    victim.kill()
    victim.wait(IDLE_DEADLINE_S)
    until("successor of the consumer", lambda: epoch(environment) > before)
    wait_until_idle(environment)


def completed(of: list[Probe]) -> list[Event]:
    return [probe.completing for probe in of]


def enrolled(of: list[Probe]) -> list[Event]:
    return [probe.enrolled for probe in of]


def test_lost_effects_are_repeated_after_postgres_is_replaced_by_an_older_copy(
    environment: FaultEnvironment,
) -> None:
    server = environment.servers.postgres
    known, lost, fresh = probes("known"), probes("lost"), probes("fresh")
    publish(environment, [*enrolled(known), *completed(known[:2])])
    wait_until_idle(environment)
    server.stop()
    copy = environment.servers.path / "postgres-before"
    shutil.copytree(server.directory, copy)
    server.start()
    wait_until_idle(environment)
    # The copy lacks exits of old and new enrollments, and the epochs of many starts.
    server.sql("SELECT nextval('goald.lease_epoch') FROM generate_series(1, %s)", LOST_EPOCHS)
    kill_consumer(environment)
    after_copy = [*enrolled(lost), *completed(lost), *completed(known[2:])]
    watch = ExitWatch(environment.redis_url)
    publish(environment, after_copy)
    assert environment.until_exits(
        {probe.key for probe in (*lost, *known[2:])}, watch, time.monotonic() + IDLE_DEADLINE_S
    )
    wait_until_idle(environment)
    published, greatest = exit_ids(environment), epoch(environment)

    server.kill()
    shutil.rmtree(server.directory)
    shutil.copytree(copy, server.directory)
    server.start()
    ((sequence,),) = server.sql("SELECT last_value FROM goald.lease_epoch")
    assert sequence < greatest, "no lease was lost"
    ended = time.monotonic()
    # Until then, the old holders of the streams still read.
    until("an epoch above the lost ones", lambda: epoch(environment) > greatest, IDLE_DEADLINE_S)
    wait_until_idle(environment)
    again, watch = ExitWatch(environment.redis_url), ExitWatch(environment.redis_url)
    publish(environment, [*enrolled(fresh), *completed(fresh)])
    assert environment.until_exits(
        {probe.key for probe in fresh}, watch, ended + IDLE_DEADLINE_S
    ), environment.goald.printed()
    publish(environment, after_copy)
    expected = {probe.key for probe in (*lost, *known[2:])}
    assert environment.until_exits(expected, again, ended + IDLE_DEADLINE_S), (
        environment.goald.printed()
    )
    wait_until_idle(environment)
    assert time.monotonic() - ended < IDLE_DEADLINE_S
    assert published < exit_ids(environment)
    assert len(exit_ids(environment)) == len(known) + len(lost) + len(fresh), (
        "an exit was published under another id"
    )
    environment.oracle.feed([*enrolled(known), *completed(known[:2]), *after_copy])
    environment.oracle.feed([*enrolled(fresh), *completed(fresh)])
    verdict = environment.judge()
    assert verdict.is_clean, str(verdict)

    current = epoch(environment)
    kill_consumer(environment)
    assert epoch(environment) < current + 100, "a process that restarts repeatedly uses up epochs"
