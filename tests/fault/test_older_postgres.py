"""Postgres comes back as an older copy of itself, as from a backup or a standby that was behind
(D10), under a goald that goes on."""

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
"""As many as some dozen starts take."""


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


def rest(environment: FaultEnvironment) -> None:
    assert environment.until_idle(time.monotonic() + IDLE_DEADLINE_S), environment.goald.printed()


def epoch(environment: FaultEnvironment) -> int:
    """The greatest that Redis knows of a stream."""
    with environment.servers.redis.client() as client:
        return max(int(client.get(epoch_key(event_stream(number)))) for number in range(4))


def ids(environment: FaultEnvironment) -> set[str]:
    """Of all exits, repeats counting once."""
    with environment.servers.redis.client() as client:
        found = entries(client, "goald:exits", b"0-0")
        return {json.loads(fields[b"event"])["id"] for _, fields in found}


def kill_consumer(environment: FaultEnvironment) -> None:
    """Returns when its successor has claimed every stream, and all is ready."""
    assert isinstance(environment.goald, DaemonProcess)
    victim, before = environment.goald.process_of("consumer:0"), epoch(environment)
    victim.kill()
    victim.wait(IDLE_DEADLINE_S)
    until("successor of the consumer", lambda: epoch(environment) > before)
    rest(environment)


def completed(asked: list[Probe]) -> list[Event]:
    return [probe.completing for probe in asked]


def enrolled(asked: list[Probe]) -> list[Event]:
    return [probe.enrolled for probe in asked]


def test_what_an_older_postgres_lost_is_done_again_and_all_goes_on(
    environment: FaultEnvironment,
) -> None:
    server = environment.servers.postgres
    known, lost, fresh = probes("known"), probes("lost"), probes("fresh")
    publish(environment, [*enrolled(known), *completed(known[:2])])
    rest(environment)
    server.stop()
    copy = environment.servers.path / "postgres-before"
    shutil.copytree(server.directory, copy)
    server.start()
    rest(environment)
    # What is lost: exits of enrollments old and new, and many starts, each with its epochs.
    server.sql("SELECT nextval('goald.lease_epoch') FROM generate_series(1, %s)", LOST_EPOCHS)
    kill_consumer(environment)
    after_copy = [*enrolled(lost), *completed(lost), *completed(known[2:])]
    watch = ExitWatch(environment.redis_url)
    publish(environment, after_copy)
    assert environment.until_exits(
        {probe.key for probe in (*lost, *known[2:])}, watch, time.monotonic() + IDLE_DEADLINE_S
    )
    rest(environment)
    published, greatest = ids(environment), epoch(environment)

    server.kill()
    shutil.rmtree(server.directory)
    shutil.copytree(copy, server.directory)
    server.start()
    ((sequence,),) = server.sql("SELECT last_value FROM goald.lease_epoch")
    assert sequence < greatest, "nothing of the leases was lost"
    ended = time.monotonic()
    # Not before: whoever holds the streams still reads until it finds its lease gone.
    until("claim above what was lost", lambda: epoch(environment) > greatest, IDLE_DEADLINE_S)
    rest(environment)
    again, watch = ExitWatch(environment.redis_url), ExitWatch(environment.redis_url)
    publish(environment, [*enrolled(fresh), *completed(fresh)])
    assert environment.until_exits(
        {probe.key for probe in fresh}, watch, ended + IDLE_DEADLINE_S
    ), environment.goald.printed()
    publish(environment, after_copy)
    wanted = {probe.key for probe in (*lost, *known[2:])}
    assert environment.until_exits(wanted, again, ended + IDLE_DEADLINE_S), (
        environment.goald.printed()
    )
    rest(environment)
    assert time.monotonic() - ended < IDLE_DEADLINE_S
    assert published < ids(environment)
    assert len(ids(environment)) == len(known) + len(lost) + len(fresh), (
        "an exit came under another id"
    )
    environment.oracle.feed([*enrolled(known), *completed(known[:2]), *after_copy])
    environment.oracle.feed([*enrolled(fresh), *completed(fresh)])
    verdict = environment.judge()
    assert verdict.is_clean, str(verdict)

    settled = epoch(environment)
    kill_consumer(environment)
    assert epoch(environment) < settled + 100, (
        "epochs are used up by somebody who starts and starts"
    )
