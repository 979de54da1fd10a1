"""The address of a server in messages."""

import pytest

from goald.cli.addresses import address_of


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://localhost", "localhost:6379"),
        ("redis://user:secret@cache.internal:7000/3", "cache.internal:7000"),
        ("rediss://[::1]:6380", "[::1]:6380"),
        ("unix:///run/redis.sock?db=1", "/run/redis.sock"),
        ("postgresql://goald:secret@db.internal/goald", "db.internal:5432"),
        ("postgresql://goald@db:6000/goald", "db:6000"),
        ("postgresql:///goald?host=/tmp/sockets", "/tmp/sockets/.s.PGSQL.5432"),
        ("postgresql://goald@%2Ftmp%2Fs/goald", "/tmp/s/.s.PGSQL.5432"),
        ("host=db port=6000 password='a b' dbname=x", "db:6000"),
        ("host=/tmp/s dbname=x", "/tmp/s/.s.PGSQL.5432"),
    ],
)
def test_the_address_of_a_url_has_no_password(url: str, address: str) -> None:
    assert address_of(url) == address
