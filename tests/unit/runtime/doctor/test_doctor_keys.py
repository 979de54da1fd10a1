"""`goald doctor` reports keys that do not protect copies of the data."""

import base64
import random
from pathlib import Path

import pytest

from goald.runtime.doctor.encryption_keys import encryption_keys
from goald.runtime.embedded.secret import secrets_key
from goald.runtime.wiring.secrets import keyring
from goald.settings import Settings, load_settings

KEY = base64.b64encode(random.Random(3).randbytes(32)).decode()
DSN = "postgresql://goald@postgres.internal/goald"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GOALD_CONFIG", raising=False)
    monkeypatch.delenv("GOALD_SECRETS_KEYS", raising=False)
    return tmp_path


def found(settings: Settings) -> list[tuple[str, str]]:
    return [(each.state, each.text) for each in encryption_keys(settings, keyring)]


def test_missing_key_is_a_warning() -> None:
    ((state, text),) = found(Settings(postgres_dsn=DSN))

    assert state == "warn"
    assert "GOALD_SECRETS_KEYS is not set" in text


def test_invalid_key_is_a_failure() -> None:
    ((state, text),) = found(Settings(postgres_dsn=DSN, secrets_keys="short"))

    assert state == "fail"
    assert "GOALD_SECRETS_KEYS: key 1" in text


def test_key_in_a_variable_is_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOALD_SECRETS_KEYS", f"{KEY}, {KEY}")

    assert found(load_settings()) == [("ok", "2 in GOALD_SECRETS_KEYS")]
    assert found(load_settings(postgres_dsn=DSN)) == [("ok", "2 in GOALD_SECRETS_KEYS")]


def test_generated_key_is_stored_with_the_data(directory: Path) -> None:
    settings = Settings(data_dir=directory)
    assert found(settings)[0][0] == "ok"

    secrets_key(directory)

    ((state, text),) = found(settings)
    assert state == "warn"
    assert f"the key is stored with the data, in {directory / 'secrets-key'}" in text


def test_file_in_the_data_directory_and_on_its_file_system_is_a_warning(directory: Path) -> None:
    data_dir = directory / "data"
    data_dir.mkdir()
    for place in (data_dir / "key", directory / "key"):
        place.write_text(KEY)
        place.chmod(0o600)
    inside = Settings(data_dir=data_dir, secrets_keys=str(data_dir / "key"))
    outside = Settings(data_dir=data_dir, secrets_keys=str(directory / "key"))

    assert "is in the data directory" in found(inside)[0][1]
    assert "is on the same file system as the data" in found(outside)[0][1]
    assert found(inside)[0][0] == found(outside)[0][0] == "warn"


def test_key_in_goald_toml_on_the_same_file_system_is_a_warning(directory: Path) -> None:
    (directory / "goald.toml").write_text(f'secrets_keys = ["{KEY}"]\n')

    ((state, text),) = found(load_settings())

    assert state == "warn"
    assert "goald.toml contains keys and is on the same file system" in text
    assert KEY not in text


def test_file_that_others_may_read_is_a_warning(directory: Path) -> None:
    (directory / "key").write_text(KEY)
    (directory / "key").chmod(0o644)

    ((state, text),) = found(Settings(postgres_dsn=DSN, secrets_keys=str(directory / "key")))

    assert state == "warn"
    assert "other users may read" in text
