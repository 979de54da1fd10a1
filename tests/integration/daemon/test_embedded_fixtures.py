"""The services that other tests are given: empty, apart from each other, of the ages we name."""

import psycopg
import redis
from tests.support.services.servers import Database


def test_each_redis_is_given_empty_and_reads_streams_in_groups(any_redis_url: str) -> None:
    with redis.Redis.from_url(any_redis_url) as client:
        assert client.dbsize() == 0
        client.xgroup_create("stream", "group", mkstream=True)
        client.xadd("stream", {"event": "1"})
        assert client.xreadgroup("group", "one", {"stream": ">"}) is not None


def test_an_empty_database_has_no_schema_of_goald(empty_database: Database) -> None:
    with psycopg.connect(empty_database.dsn) as connection:
        row = connection.execute("SELECT to_regnamespace('goald'), current_user").fetchone()
    assert row == (None, "goald")


def test_a_migrated_database_holds_the_schema_and_belongs_to_this_test(database: Database) -> None:
    with psycopg.connect(database.admin_dsn) as connection:
        row = connection.execute("SELECT count(*) FROM goald.workflows").fetchone()
    assert row == (0,)
