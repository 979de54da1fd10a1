"""An exit that no workflow engine acknowledges is published again with the same id."""

from tests.support.pipeline.slot_holders import exits, slot_holder, until
from tests.support.services.servers import Database


async def test_an_exit_is_repeated_until_a_workflow_engine_acknowledges_it(
    database: Database, redis_url: str
) -> None:
    async def published(enrollment: str, times: int) -> bool:
        return (await exits(redis_url)).count(f"exit-{enrollment}") >= times

    async with slot_holder(redis_url, database.dsn, exit_retry=1.0) as holder:
        await holder.commit("acknowledged", "unacknowledged")
        await until(lambda: published("unacknowledged", 2))
        await holder.acknowledge("acknowledged")
        before = (await exits(redis_url)).count("exit-acknowledged")
        await until(lambda: published("unacknowledged", 5))
        assert (await exits(redis_url)).count("exit-acknowledged") <= before + 1
        assert holder.counted("goald_exits_retried_total") >= 5
    assert set(await exits(redis_url)) == {"exit-acknowledged", "exit-unacknowledged"}


async def test_the_next_lease_holder_repeats_unacknowledged_exits(
    database: Database, redis_url: str
) -> None:
    async with slot_holder(redis_url, database.dsn, exit_retry=1.0) as holder:
        await holder.commit("unacknowledged")
    assert await exits(redis_url) == ["exit-unacknowledged"]
    async with slot_holder(redis_url, database.dsn, exit_retry=1.0):

        async def published_again() -> bool:
            return len(await exits(redis_url)) >= 2

        await until(published_again)
    assert set(await exits(redis_url)) == {"exit-unacknowledged"}


async def test_exits_from_before_the_setting_was_enabled_are_not_repeated(
    database: Database, redis_url: str
) -> None:
    async with slot_holder(redis_url, database.dsn) as holder:
        await holder.commit("before")
        await holder.publisher.mark()
    async with slot_holder(redis_url, database.dsn, exit_retry=1.0) as holder:
        await holder.commit("after")

        async def published_again() -> bool:
            return (await exits(redis_url)).count("exit-after") >= 2

        await until(published_again)
    assert (await exits(redis_url)).count("exit-before") == 1
