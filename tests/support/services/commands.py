"""How the tests of the commands run them, and what they look at afterwards."""

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
    """How a command ended."""

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
    """No settings but those of the test, and no daemon."""
    for name in list(os.environ):
        if name.upper().startswith("GOALD_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(
    clean: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ran]:
    """Runs a command line within this process."""

    def run(*words: str, stdin: bytes | None = None) -> Ran:
        capsys.readouterr()
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main(words)
        printed = capsys.readouterr()
        return Ran(int(code), printed.out, printed.err)

    return run


@pytest.fixture
def streams(
    clean: None, redis_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Services that the commands find through the settings; the Redis, for looking."""
    monkeypatch.setenv("GOALD_REDIS_URL", redis_url)
    monkeypatch.setenv("GOALD_POSTGRES_DSN", database.dsn)
    with redis.Redis.from_url(redis_url) as client:
        yield client


def events_in(client: Any) -> list[dict[str, Any]]:
    return [
        json.loads(fields[b"event"])
        for partition in range(4)
        for _, fields in client.xrange(event_stream(partition))
    ]


def bury(client: Any, event: dict[str, Any], reason: str = "it has no source") -> str:
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
