"""Postgres comes back as an older copy of itself, as from a backup or a standby that was behind
(D10), under a goald that goes on."""

import asyncio
import json
import shutil
import time
from collections.abc import Iterator

import pytest
from tests.fault.harness.history import Event, contact_of, encoded
from tests.fault.harness.probes import ExitWatch, probes
from tests.fault.harness.registry import REST_S
from tests.fault.harness.servers import entries, until
from tests.fault.harness.serving import Serving
from tests.fault.harness.stage import Stage, daemon_stage
from tests.fault.harness.workload import Probe

from goald.client import Publisher
from goald.redis_keys import epoch_key, event_stream

LOST_EPOCHS = 500
"""As many as some dozen starts take."""


@pytest.fixture
def stage() -> Iterator[Stage]:
    with daemon_stage(enrolled=0) as stage:
        stage.start()
        yield stage


def publish(stage: Stage, events: list[Event]) -> None:
    async def send() -> None:
        async with Publisher(stage.redis_url) as publisher:
            for event in events:
                await publisher.publish_encoded(*contact_of(event), encoded(event))
            await publisher.flush()

    asyncio.run(send())


def rest(stage: Stage) -> None:
    assert stage.until_at_rest(time.monotonic() + REST_S), stage.engine.printed()


def epoch(stage: Stage) -> int:
    """The greatest that Redis knows of a stream."""
    with stage.servers.redis.client() as client:
        return max(int(client.get(epoch_key(event_stream(number)))) for number in range(4))


def ids(stage: Stage) -> set[str]:
    """Of all exits, repeats counting once."""
    with stage.servers.redis.client() as client:
        found = entries(client, "goald:exits", b"0-0")
        return {json.loads(fields[b"event"])["id"] for _, fields in found}


def kill_consumer(stage: Stage) -> None:
    """Returns when its successor has claimed every stream, and all is ready."""
    assert isinstance(stage.engine, Serving)
    victim, before = stage.engine.process_of("consumer:0"), epoch(stage)
    victim.kill()
    victim.wait(REST_S)
    until("successor of the consumer", lambda: epoch(stage) > before)
    rest(stage)


def completed(asked: list[Probe]) -> list[Event]:
    return [probe.completing for probe in asked]


def enrolled(asked: list[Probe]) -> list[Event]:
    return [probe.enrolled for probe in asked]


def test_what_an_older_postgres_lost_is_done_again_and_all_goes_on(stage: Stage) -> None:
    server = stage.servers.postgres
    known, lost, fresh = probes("known"), probes("lost"), probes("fresh")
    publish(stage, [*enrolled(known), *completed(known[:2])])
    rest(stage)
    server.stop()
    copy = stage.servers.path / "postgres-before"
    shutil.copytree(server.directory, copy)
    server.start()
    rest(stage)
    # What is lost: exits of enrollments old and new, and many starts, each with its epochs.
    server.sql("SELECT nextval('goald.lease_epoch') FROM generate_series(1, %s)", LOST_EPOCHS)
    kill_consumer(stage)
    after_copy = [*enrolled(lost), *completed(lost), *completed(known[2:])]
    watch = ExitWatch(stage.redis_url)
    publish(stage, after_copy)
    assert stage.until_exits(
        {probe.key for probe in (*lost, *known[2:])}, watch, time.monotonic() + REST_S
    )
    rest(stage)
    published, greatest = ids(stage), epoch(stage)

    server.kill()
    shutil.rmtree(server.directory)
    shutil.copytree(copy, server.directory)
    server.start()
    ((sequence,),) = server.sql("SELECT last_value FROM goald.lease_epoch")
    assert sequence < greatest, "nothing of the leases was lost"
    ended = time.monotonic()
    # Not before: whoever holds the streams still reads until it finds its lease gone.
    until("claim above what was lost", lambda: epoch(stage) > greatest, REST_S)
    rest(stage)
    again, watch = ExitWatch(stage.redis_url), ExitWatch(stage.redis_url)
    publish(stage, [*enrolled(fresh), *completed(fresh)])
    assert stage.until_exits({probe.key for probe in fresh}, watch, ended + REST_S), (
        stage.engine.printed()
    )
    publish(stage, after_copy)
    wanted = {probe.key for probe in (*lost, *known[2:])}
    assert stage.until_exits(wanted, again, ended + REST_S), stage.engine.printed()
    rest(stage)
    assert time.monotonic() - ended < REST_S
    assert published < ids(stage)
    assert len(ids(stage)) == len(known) + len(lost) + len(fresh), "an exit came under another id"
    stage.oracle.feed([*enrolled(known), *completed(known[:2]), *after_copy])
    stage.oracle.feed([*enrolled(fresh), *completed(fresh)])
    verdict = stage.judge()
    assert verdict.is_clean, str(verdict)

    settled = epoch(stage)
    kill_consumer(stage)
    assert epoch(stage) < settled + 100, "epochs are used up by somebody who starts and starts"
