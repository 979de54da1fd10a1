"""After Redis or Postgres was replaced or lost data, messages are published again with the same
ids, and shards reload (D10)."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from tests.fault.harness.servers import Servers
from tests.support.pipeline.slot_holders import exits, slot_holder, until
from tests.support.services.servers import Database

from goald.adapters.postgres import PostgresShardStore
from goald.domain.errors import ServerReplaced
from goald.domain.slots import SlotRange
from goald.redis_keys import SERVER_IDENTITY
from goald.runtime.embedded.identity import Identity
from goald.runtime.embedded.postgres import _binaries

NAMES = [f"e-{number}" for number in range(20)]
EXITS = [f"exit-{name}" for name in NAMES]
UNMARKED = "SELECT 1 FROM goald.outbox WHERE published_at IS NULL"


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """Servers for this file, which its tests kill and modify."""
    with Servers() as servers:
        yield servers


@pytest.fixture
def empty(servers: Servers) -> Servers:
    """Empty servers."""
    with redis.Redis.from_url(servers.redis.url) as client:
        client.flushall()
    servers.postgres.sql("TRUNCATE goald.outbox, goald.workflow_enrollments, goald.leases")
    return servers


def urls(servers: Servers) -> tuple[str, str]:
    return servers.redis.url, servers.postgres.dsn


def is_known(servers: Servers) -> bool:
    """Whether Redis has the recorded identity, without a pending change of Postgres."""
    with servers.redis.client() as client:
        known = client.hget(SERVER_IDENTITY, "0-255") or b""
        run, _, postgres = known.decode().partition(" ")
        return run == client.info("server")["run_id"] and postgres.count(" ") == 0


async def published_again(servers: Servers, times: int) -> None:
    async def are_published() -> bool:
        return (await exits(servers.redis.url)).count(EXITS[-1]) >= times

    await until(are_published)


# Redis


async def test_exits_are_published_again_after_redis_was_flushed(empty: Servers) -> None:
    async with slot_holder(*urls(empty)) as holder:
        await holder.commit(*NAMES)
        with empty.redis.client() as client:
            client.flushall()
        await published_again(empty, 1)
        assert await exits(empty.redis.url) == EXITS
        await holder.commit("later")
        await until(lambda: is_known(empty))
        assert await exits(empty.redis.url) == [*EXITS, "exit-later"]
        await holder.publisher.mark()
    async with slot_holder(*urls(empty)):
        assert is_known(empty)
        assert await exits(empty.redis.url) == [*EXITS, "exit-later"]


@pytest.mark.parametrize("cut", [0, 200, 1 << 20])
async def test_exits_that_a_killed_redis_lost_are_published_again(empty: Servers, cut: int) -> None:
    """With an intact append-only file, without its end, and without any of it."""
    async with slot_holder(*urls(empty)) as holder:
        await holder.commit(*NAMES)
        empty.redis.kill()
        empty.redis.cut(cut)
        empty.redis.start()
        await until(lambda: holder.counted("goald_messages_republished_total") >= len(EXITS))
        found = await exits(empty.redis.url)
        assert found[-len(EXITS) :] == EXITS
        assert found[: -len(EXITS)] == EXITS[: len(found) - len(EXITS)]


async def test_the_next_lease_holder_publishes_exits_that_an_old_copy_of_redis_lacks(
    empty: Servers, tmp_path: Path
) -> None:
    async with slot_holder(*urls(empty)) as holder:
        await holder.commit("first")
        empty.redis.copy(tmp_path / "copy")
        await holder.commit(*NAMES)
        await until(lambda: not empty.postgres.sql(UNMARKED))
    empty.redis.kill()
    empty.redis.replace(tmp_path / "copy")
    empty.redis.start()
    assert await exits(empty.redis.url) == ["exit-first"]
    async with slot_holder(*urls(empty)):
        await published_again(empty, 1)
        assert await exits(empty.redis.url) == ["exit-first", "exit-first", *EXITS]


async def test_exits_committed_while_redis_was_unavailable_are_published(empty: Servers) -> None:
    async with slot_holder(*urls(empty)) as holder:
        await holder.commit("first")
        empty.redis.kill()
        commit = asyncio.ensure_future(holder.commit(*NAMES))
        await until(lambda: empty.postgres.sql(UNMARKED))
        empty.redis.start()
        await asyncio.wait_for(commit, 60)
        await until(lambda: not empty.postgres.sql(UNMARKED))
        assert set(await exits(empty.redis.url)) == {"exit-first", *EXITS}


# Postgres


async def test_a_crash_of_postgres_is_not_a_replacement(empty: Servers) -> None:
    """Shards continue, and no message is published again."""
    async with slot_holder(*urls(empty)) as holder:
        await holder.commit(*NAMES)
        await until(lambda: not empty.postgres.sql(UNMARKED))
        await until(lambda: is_known(empty))
        empty.postgres.kill()
        empty.postgres.start()
        await holder.commit("later")
        await holder.publisher.recognise()
        assert is_known(empty)
        assert not holder.running.done()
        assert await exits(empty.redis.url) == [*EXITS, "exit-later"]


async def replaced(running: "asyncio.Task[None]") -> str:
    """The message of the error with which the lease holder ended because Postgres was replaced."""
    with pytest.raises(ExceptionGroup) as ended:
        await asyncio.wait_for(running, 60)
    found: Any = ended.value
    while isinstance(found, BaseExceptionGroup):
        (found,) = found.exceptions
    assert isinstance(found, ServerReplaced)
    return str(found)


async def test_a_shard_reloads_after_postgres_lost_commits(empty: Servers, tmp_path: Path) -> None:
    """Its memory contains commits that are missing in the tables."""
    async with slot_holder(*urls(empty)) as holder:
        await holder.commit("first")
        await until(lambda: not empty.postgres.sql(UNMARKED))
        empty.postgres.stop()
        shutil.copytree(empty.postgres.directory, tmp_path / "copy", symlinks=True)
        empty.postgres.start()
        await holder.commit(*NAMES)
        await until(lambda: not empty.postgres.sql(UNMARKED))
        await holder.store.outbox.database_identity()  # as each second
        empty.postgres.kill()
        shutil.rmtree(empty.postgres.directory)
        shutil.copytree(tmp_path / "copy", empty.postgres.directory, symlinks=True)
        empty.postgres.start()
        assert "lost data" in await replaced(holder.running)
    async with slot_holder(*urls(empty)) as holder:
        await holder.commit(*NAMES)
        assert not holder.running.done()


async def test_a_shard_reloads_and_publishes_again_after_a_failover_of_postgres(
    empty: Servers,
) -> None:
    """A promoted standby has a new timeline."""
    async with slot_holder(*urls(empty)) as holder:
        await holder.commit(*NAMES)
        await until(lambda: not empty.postgres.sql(UNMARKED))
        empty.postgres.stop()
        branch_off(empty.postgres.directory)
        empty.postgres.start()
        assert "timeline 0000000" in await replaced(holder.running)
    async with slot_holder(*urls(empty)):
        await published_again(empty, 2)
        assert await exits(empty.redis.url) == EXITS * 2


def branch_off(directory: Path) -> None:
    """Switch the data directory of a stopped Postgres to the next timeline."""
    command = [_binaries() / "pg_resetwal", "-n", "-D", directory]
    identity = Identity.choose()

    def run(*more: str) -> str:
        done = subprocess.run(
            identity.command([str(each) for each in (*command[:1], *more, *command[2:])]),
            check=True, capture_output=True, text=True, cwd=directory,
            user=identity.user, group=identity.group,
        )  # fmt: skip
        return done.stdout

    (line,) = (line for line in run("-n").splitlines() if line.startswith("First log segment"))
    segment = line.split()[-1]
    run("-f", "-l", f"{int(segment[:8], 16) + 1:08X}{segment[8:]}")


async def test_the_shard_works_without_permission_to_read_the_identity_of_postgres(
    database: Database,
) -> None:
    with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
        admin.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    store = PostgresShardStore(database.dsn)
    lease = await store.acquire(SlotRange(0, 255), "a")
    assert (await store.outbox.database_identity()).name == "unknown"
    await store.check(lease)
    await store.close()
