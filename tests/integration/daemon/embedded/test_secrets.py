"""An embedded goald encrypts webhook secrets under its own key, at each start."""

import base64
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from goald.domain.errors import StartError
from goald.runtime.daemon.environment import embedded_environment
from goald.runtime.doctor.encryption_keys import stored_secrets
from goald.runtime.wiring.secrets import missing_keys
from goald.settings import Settings

SECRET = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


class Silent:
    """A console that shows nothing."""

    def step(self, _: str) -> None: ...
    def ready(self, _: object) -> None: ...
    def tick(self, _: object) -> None: ...
    def stopping(self, _: str) -> None: ...
    def problem(self, _: str) -> None: ...


@contextmanager
def webhooks(place: Path, **settings: Any) -> Iterator[psycopg.Connection]:
    """Start the servers as `goald serve --embedded` does. Yields a connection that may read and
    change the secrets."""
    with embedded_environment(Settings(data_dir=place, **settings), Silent()) as environment:
        dsn = environment.settings.postgres.dsn
        with psycopg.connect(dsn, autocommit=True) as connection:
            yield connection


def stored(connection: psycopg.Connection) -> tuple[bytes | None, str | None]:
    """The plain secret and the key id of the only webhook."""
    connection.execute("SET ROLE goald_owner")
    row = connection.execute("SELECT secret, key_id FROM goald.webhook_secrets").fetchone()
    assert row is not None
    return row[0], row[1]


def test_secrets_are_encrypted_at_the_start_under_the_first_key(
    place: Path, tmp_path: Path
) -> None:
    with webhooks(place) as connection:
        connection.execute("SET ROLE goald_api")
        connection.execute("SELECT set_config('goald.tenant', 'acme', false)")
        connection.execute(
            "INSERT INTO goald.webhook_secrets (tenant_id, provider, secret)"
            " VALUES ('acme', 'stripe', %s)",
            (SECRET,),
        )
        assert stored(connection) == (SECRET, None)
    own_key = place / "secrets-key"
    assert stat.S_IMODE(own_key.stat().st_mode) == 0o600
    before = own_key.read_bytes()

    with webhooks(place) as connection:
        plain, first_key = stored(connection)
    assert plain is None
    assert first_key is not None
    assert own_key.read_bytes() == before

    key_file = tmp_path / "key"
    key_file.write_bytes(base64.b64encode(os.urandom(32)))
    with webhooks(place, secrets_keys=str(key_file)) as connection:
        plain, second_key = stored(connection)
    assert plain is None
    assert second_key not in {None, first_key}

    # The key of the directory is deleted, and the setting is forgotten: no new key is generated,
    # because it could not decrypt the secret.
    own_key.unlink()
    refused = pytest.raises(StartError, match=f"key {second_key}.*GOALD_SECRETS_KEYS")
    with refused, webhooks(place):
        pass
    assert not own_key.exists()

    # With any key goald starts, and `goald doctor` reports the secret.
    other_key = base64.b64encode(os.urandom(32)).decode()
    with webhooks(place, secrets_keys=other_key) as connection:
        dsn = connection.info.dsn + f" password={connection.info.password}"
        for keys, states in ((other_key, ["fail"]), (str(key_file), [])):
            settings = Settings(data_dir=place, secrets_keys=keys)
            found = list(stored_secrets(settings, dsn, missing_keys))
            assert [check.state for check in found] == states
            assert all("1 cannot be decrypted" in check.text for check in found)
