"""Runs `goald` commands in the test process, and reads and writes the data that they use."""

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.support.services.servers import Database

from goald.cli.main import main
from goald.redis_keys import event_stream

GOALD = [sys.executable, "-m", "goald.cli.main"]


class Ran:
    """Exit code and output of a command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without GOALD_* variables, in an empty directory."""
    for name in list(os.environ):
        if name.upper().startswith("GOALD_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(
    clean: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ran]:
    """A function that runs a command line in this process."""

    def run(*arguments: str, stdin: bytes | None = None) -> Ran:
        capsys.readouterr()
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main(arguments)
        output = capsys.readouterr()
        return Ran(int(code), output.out, output.err)

    return run


@pytest.fixture
def streams(
    clean: None, redis_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Points the settings at Redis and Postgres of the test. Returns a Redis client."""
    monkeypatch.setenv("GOALD_REDIS_URL", redis_url)
    monkeypatch.setenv("GOALD_POSTGRES_DSN", database.dsn)
    with redis.Redis.from_url(redis_url) as client:
        yield client


def events_in(client: Any) -> list[dict[str, Any]]:
    """All events of the event streams, by stream."""
    return [
        json.loads(fields[b"event"])
        for partition in range(4)
        for _, fields in client.xrange(event_stream(partition))
    ]


def add_dead_letter(client: Any, event: dict[str, Any], reason: str = "it has no source") -> str:
    """Add an entry to `goald:dead`; its id."""
    fields = {
        "stream": "goald:events:1",
        "id": "5-0",
        "event": json.dumps(event),
        "reason": reason,
        "delivery_attempts": 1,
        "at": "2026-03-01T12:00:00Z",
    }
    entry: bytes = client.xadd("goald:dead", fields)
    return entry.decode()


def an_exit(contact: str = "c-1", tenant: str = "acme", event_id: str = "e-1") -> str:
    """The `event` of a `goald:exits` entry, as JSON."""
    data = {
        "workflow_id": "nurture",
        "contact_id": contact,
        "enrollment_id": "en-1",
        "goal_type": "tag_added",
        "trigger_event": {"id": event_id, "source": "goald/cli", "type": "contact.tag.added"},
        "received_at": "2026-03-01T12:00:00.000000Z",
        "published_at": "2026-03-01T12:00:00.004000Z",
    }
    return json.dumps({"id": "x", "type": "workflow.exit.goal", "tenantid": tenant, "data": data})
