"""Commands find the running goald."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from goald.domain.errors import NotFound, SettingsError
from goald.runtime import instance
from goald.runtime.instance import Instance
from goald.settings import Settings


def running(data_dir: Path, pid: int | None = None) -> Instance:
    return Instance(
        redis_url="unix:///r.sock",
        postgres_dsn="postgresql:///goald",
        pid=os.getpid() if pid is None else pid,
        started_at="2026-03-01T12:00:00Z",
        metrics_url="http://127.0.0.1:1/metrics",
        data_dir=str(data_dir),
    )


def settings(data_dir: Path, **more: str) -> Settings:
    return Settings(data_dir=data_dir, **more)  # type: ignore[arg-type]


def test_the_instance_of_a_data_directory_is_found(tmp_path: Path) -> None:
    instance.write(tmp_path, running(tmp_path))
    assert instance.find(settings(tmp_path)) == running(tmp_path)


def test_configured_addresses_take_precedence(tmp_path: Path) -> None:
    instance.write(tmp_path, running(tmp_path))
    found = instance.find(
        settings(tmp_path, redis_url="redis://h", postgres_dsn="postgresql://h/g")
    )
    assert found == Instance(redis_url="redis://h", postgres_dsn="postgresql://h/g")


def test_without_a_running_instance_the_error_has_advice(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"goald serve --embedded.*GOALD_REDIS_URL"):
        instance.find(settings(tmp_path))


def test_the_file_of_a_killed_run_is_ignored(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        instance.write(tmp_path, running(tmp_path, process.pid))
        assert instance.find(settings(tmp_path)).pid == process.pid
        process.kill()
    with pytest.raises(NotFound):
        instance.find(settings(tmp_path))


def test_another_process_with_the_same_id_is_ignored(tmp_path: Path) -> None:
    instance.write(tmp_path, running(tmp_path))
    file = tmp_path / instance.FILE
    written = json.loads(file.read_text())
    file.write_text(json.dumps(written | {"process": "another start"}))
    with pytest.raises(NotFound):
        instance.find(settings(tmp_path))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"process": "x", "unknown": 1}'])
def test_a_damaged_file_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / instance.FILE).write_text(text)
    with pytest.raises(NotFound):
        instance.find(settings(tmp_path))


def test_only_this_user_may_read_the_addresses(tmp_path: Path) -> None:
    instance.write(tmp_path, running(tmp_path))
    file = tmp_path / instance.FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["instance.json"]


def test_a_stopped_instance_is_not_found(tmp_path: Path) -> None:
    instance.write(tmp_path, running(tmp_path))
    instance.remove(tmp_path)
    instance.remove(tmp_path)
    with pytest.raises(NotFound):
        instance.find(settings(tmp_path))


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"redis_url": "redis://h"}, "GOALD_POSTGRES_DSN is not"),
        ({"postgres_dsn": "postgresql://h/g"}, "GOALD_REDIS_URL is not"),
    ],
)
def test_one_address_without_the_other_is_an_error(
    tmp_path: Path, given: dict[str, str], missing: str
) -> None:
    instance.write(tmp_path, running(tmp_path))
    with pytest.raises(SettingsError, match=missing):
        instance.find(settings(tmp_path, **given))
