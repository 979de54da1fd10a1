"""The fixtures of Redis and Postgres give each test empty, isolated services."""

import psycopg
import redis
from tests.support.services.servers import Database


def test_each_redis_is_empty_and_supports_consumer_groups(any_redis_url: str) -> None:
    with redis.Redis.from_url(any_redis_url) as client:
        assert client.dbsize() == 0
        client.xgroup_create("stream", "group", mkstream=True)
        client.xadd("stream", {"event": "1"})
        assert client.xreadgroup("group", "one", {"stream": ">"}) is not None


def test_an_empty_database_has_no_schema_of_goald(empty_database: Database) -> None:
    with psycopg.connect(empty_database.dsn) as connection:
        row = connection.execute("SELECT to_regnamespace('goald'), current_user").fetchone()
    assert row == (None, "goald")


def test_a_migrated_database_has_the_schema_and_no_rows(database: Database) -> None:
    with psycopg.connect(database.admin_dsn) as connection:
        row = connection.execute("SELECT count(*) FROM goald.workflows").fetchone()
    assert row == (0,)
