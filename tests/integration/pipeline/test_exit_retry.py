"""An exit that no engine acknowledges is published again, under the same id (3.2)."""

from tests.support.pipeline.slot_holders import exits, holding, until
from tests.support.services.servers import Database


async def test_exit_comes_again_until_an_engine_acknowledges_it(
    database: Database, redis_url: str
) -> None:
    async def came(enrollment: str, times: int) -> bool:
        return (await exits(redis_url)).count(f"exit-{enrollment}") >= times

    async with holding(redis_url, database.dsn, exit_retry=1.0) as holder:
        await holder.commit("obeyed", "ignored")
        await until(lambda: came("ignored", 2))
        await holder.acknowledge("obeyed")
        before = (await exits(redis_url)).count("exit-obeyed")
        await until(lambda: came("ignored", 5))
        assert (await exits(redis_url)).count("exit-obeyed") <= before + 1
        assert holder.counted("goald_exits_retried_total") >= 5
    assert set(await exits(redis_url)) == {"exit-obeyed", "exit-ignored"}


async def test_exit_comes_again_from_whoever_holds_its_slot_next(
    database: Database, redis_url: str
) -> None:
    async with holding(redis_url, database.dsn, exit_retry=1.0) as holder:
        await holder.commit("ignored")
    assert await exits(redis_url) == ["exit-ignored"]
    async with holding(redis_url, database.dsn, exit_retry=1.0):

        async def came_again() -> bool:
            return len(await exits(redis_url)) >= 2

        await until(came_again)
    assert set(await exits(redis_url)) == {"exit-ignored"}


async def test_exits_of_the_time_before_it_was_switched_on_stay_as_they_are(
    database: Database, redis_url: str
) -> None:
    async with holding(redis_url, database.dsn) as holder:
        await holder.commit("before")
        await holder.publisher.mark()
    async with holding(redis_url, database.dsn, exit_retry=1.0) as holder:
        await holder.commit("after")

        async def came_again() -> bool:
            return (await exits(redis_url)).count("exit-after") >= 2

        await until(came_again)
    assert (await exits(redis_url)).count("exit-before") == 1
