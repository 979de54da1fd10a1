"""Secrets of webhooks are encrypted at rest: a reader of the database learns no secret, and a
missing key loses no secret and fails no other request."""

import asyncio
import base64
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support.api.application import SECRETS_KEY
from tests.support.api.client import Api
from tests.support.api.webhooks import PATH, SECRET, event, send, signed
from tests.support.services.servers import Database

from goald.adapters.keyring import Keyring, read_keys
from goald.adapters.postgres.sources import PostgresSources
from goald.adapters.postgres.stored_secrets import stored_secrets
from goald.adapters.postgres.tenants import TenantPool
from goald.api.auth.signatures import format_secret, parse_secret
from goald.cli.main import main
from goald.domain.credentials.sources import SourceChange, digest_of
from goald.domain.errors import EncryptionKeyMissing, SecretDamaged
from goald.runtime.embedded.postgres import _binaries

NEW_KEY = "V0m2mTn1u7d8Qw3eR5tY9uI0oP2aS4dF6gH8jK1lZ3c="


@pytest.fixture
def rotate(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, Any]]:
    """Returns a function that runs `goald secrets rotate --json` with these keys."""

    def run(*keys: str) -> tuple[int, Any]:
        monkeypatch.setenv("GOALD_POSTGRES_DSN", database.dsn)
        monkeypatch.setenv("GOALD_SECRETS_KEYS", ",".join(keys))
        capsys.readouterr()
        code = main(["secrets", "rotate", "--json"])
        out = capsys.readouterr().out
        return code, json.loads(out) if out else None

    return run


def store_plain(database: Database, tenant: str, provider: str, secret: bytes) -> None:
    """Store a secret as the previous release does."""
    with psycopg.connect(database.dsn) as connection:
        connection.execute("SET ROLE goald_api")
        connection.execute("SELECT set_config('goald.tenant', %s, true)", (tenant,))
        connection.execute(
            "INSERT INTO goald.webhook_secrets (tenant_id, provider, secret) VALUES (%s, %s, %s)"
            " ON CONFLICT (tenant_id, provider) DO UPDATE SET secret = excluded.secret",
            (tenant, provider, secret),
        )


def forms_of(secret: str) -> list[bytes]:
    """The ways in which a dump may contain a secret."""
    raw = parse_secret(secret)
    encoded = base64.b64encode(raw)
    return [raw, raw.hex().encode(), raw.hex().upper().encode(), encoded, encoded.rstrip(b"="),
            encoded[4:-4], raw[8:-8]]  # fmt: skip


def dump(database: Database) -> bytes:
    """Everything in the database, as pg_dump writes it."""
    done = subprocess.run(
        [_binaries() / "pg_dump", "--no-owner", "--inserts", database.admin_dsn],
        check=True,
        capture_output=True,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
    )
    return done.stdout


def table_file(database: Database) -> bytes:
    """The file of the table with the secrets."""
    with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
        admin.execute("CHECKPOINT")
        row = admin.execute(
            "SELECT current_setting('data_directory'),"
            " pg_relation_filepath('goald.webhook_secrets')"
        ).fetchone()
    assert row is not None
    return Path(str(row[0]), str(row[1])).read_bytes()


def test_dump_contains_no_secret(api: Api, database: Database) -> None:
    client = api.client("acme", "workflows:edit")
    generated = client.put(f"{PATH}/stripe").json()["secret"]
    client.put(f"{PATH}/given", json={"secret": SECRET})
    replaced = client.put(f"{PATH}/given", json={"types": ["payment.completed"]}).json()["secret"]
    client.delete(f"{PATH}/given")

    dumped = dump(database)

    assert b"INSERT INTO goald.webhook_secrets" in dumped
    for secret in (generated, SECRET, replaced):
        assert not [form for form in forms_of(secret) if form in dumped]
        assert not [form for form in forms_of(secret) if form in table_file(database)]
    assert send(api, event(), signed(generated, event())).status_code == 202


def test_search_of_a_dump_finds_a_secret_in_plain_text(database: Database) -> None:
    store_plain(database, "acme", "stripe", parse_secret(SECRET))

    assert [form for form in forms_of(SECRET) if form in dump(database)]
    assert [form for form in forms_of(SECRET) if form in table_file(database)]


def test_rotate_encrypts_secrets_of_the_previous_release(
    api: Api, database: Database, rotate: Callable[..., tuple[int, Any]]
) -> None:
    secrets = {f"tenant-{number}": format_secret(os.urandom(32)) for number in range(600)}
    with psycopg.connect(database.admin_dsn) as admin, admin.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO goald.webhook_secrets (tenant_id, provider, secret)"
            " VALUES (%s, 'stripe', %s)",
            [(tenant, parse_secret(secret)) for tenant, secret in secrets.items()],
        )
    assert send(api, event(), signed(secrets["tenant-7"], event()), "tenant-7").status_code == 202

    code, result = rotate(SECRETS_KEY)

    assert code == 0
    assert (result["total"], result["encrypted"], result["reencrypted"]) == (600, 600, 0)
    files = dump(database) + table_file(database)
    assert not [tenant for tenant in secrets if parse_secret(secrets[tenant]) in files]
    assert not [
        tenant for tenant in secrets if parse_secret(secrets[tenant]).hex().encode() in files
    ]
    assert send(api, event(), signed(secrets["tenant-7"], event()), "tenant-7").status_code == 202
    assert rotate(SECRETS_KEY) == (0, result | {"encrypted": 0})


def test_secret_that_the_previous_release_replaces_takes_precedence(
    api: Api, database: Database, rotate: Callable[..., tuple[int, Any]]
) -> None:
    first = api.client("acme", "workflows:edit").put(f"{PATH}/stripe").json()["secret"]
    store_plain(database, "acme", "stripe", parse_secret(SECRET))

    assert send(api, event(), signed(first, event())).status_code == 401
    assert send(api, event(), signed(SECRET, event())).status_code == 202
    assert rotate(SECRETS_KEY)[1]["encrypted"] == 1
    assert send(api, event(), signed(first, event())).status_code == 401
    assert send(api, event(), signed(SECRET, event())).status_code == 202


def test_rotation_re_encrypts_under_the_new_key(
    api: Api, make_api: Callable[..., Api], rotate: Callable[..., tuple[int, Any]]
) -> None:
    secret = api.client("acme", "workflows:edit").put(f"{PATH}/stripe").json()["secret"]
    both = make_api(secrets_keys=f"{NEW_KEY},{SECRETS_KEY}")
    assert send(both, event(), signed(secret, event())).status_code == 202

    code, result = rotate(NEW_KEY, SECRETS_KEY)

    assert (code, result["reencrypted"], result["unreadable"]) == (0, 1, [])
    new = make_api(secrets_keys=NEW_KEY)
    assert send(new, event(), signed(secret, event())).status_code == 202
    assert rotate(NEW_KEY)[1]["reencrypted"] == 0


SOURCE = SourceChange(
    "stripe", {}, digest_of("k" * 32), ("whsec_" + "s" * 20, "p\u00e4ssword of the source")
)


async def put_source(database: Database, key: str, tenant: str = "acme") -> None:
    pool = TenantPool(database.dsn, 1)
    try:
        await PostgresSources(pool, Keyring(read_keys([key]))).put(tenant, "pay", SOURCE, "editor")
    finally:
        await pool.close()


async def secrets_of_source(
    database: Database, key: str, tenant: str = "acme"
) -> tuple[str, ...] | None:
    pool = TenantPool(database.dsn, 1)
    try:
        found = await PostgresSources(pool, Keyring(read_keys([key]))).load(tenant, "pay")
        return None if found is None else found.secrets
    finally:
        await pool.close()


def test_dump_contains_no_secret_of_a_source(database: Database) -> None:
    asyncio.run(put_source(database, SECRETS_KEY))

    dumped = dump(database)

    assert b"INSERT INTO goald.sources" in dumped
    for secret in (*(SOURCE.secrets or ()), "k" * 32):
        assert secret.encode() not in dumped
        assert secret.encode().hex().encode() not in dumped


def test_rotation_re_encrypts_the_secrets_of_sources(
    database: Database, rotate: Callable[..., tuple[int, Any]]
) -> None:
    asyncio.run(put_source(database, SECRETS_KEY))

    code, result = rotate(NEW_KEY, SECRETS_KEY)

    assert (code, result["total"], result["reencrypted"], result["unreadable"]) == (0, 1, 1, [])
    assert asyncio.run(secrets_of_source(database, NEW_KEY)) == SOURCE.secrets
    with pytest.raises(EncryptionKeyMissing):
        asyncio.run(secrets_of_source(database, SECRETS_KEY))
    assert rotate(NEW_KEY)[1]["reencrypted"] == 0


def test_rotation_names_the_source_whose_key_is_missing(
    database: Database, rotate: Callable[..., tuple[int, Any]]
) -> None:
    asyncio.run(put_source(database, SECRETS_KEY))

    code, result = rotate(NEW_KEY)

    assert code == 1
    (unreadable,) = result["unreadable"]
    assert (unreadable["kind"], unreadable["tenant"], unreadable["name"]) == (
        "source",
        "acme",
        "pay",
    )
    assert asyncio.run(secrets_of_source(database, SECRETS_KEY)) == SOURCE.secrets


def test_secrets_of_a_source_that_are_moved_to_another_tenant_are_useless(
    database: Database,
) -> None:
    for tenant in ("acme", "victim"):
        asyncio.run(put_source(database, SECRETS_KEY, tenant))
    with psycopg.connect(database.admin_dsn) as admin:
        admin.execute(
            "UPDATE goald.sources v SET encrypted_secrets = a.encrypted_secrets"
            " FROM goald.sources a WHERE v.tenant_id = 'victim' AND a.tenant_id = 'acme'"
        )

    with pytest.raises(SecretDamaged):
        asyncio.run(secrets_of_source(database, SECRETS_KEY, "victim"))
    assert asyncio.run(secrets_of_source(database, SECRETS_KEY)) == SOURCE.secrets


def test_source_that_is_replaced_during_a_rotation_keeps_its_new_secrets(
    database: Database,
) -> None:
    asyncio.run(put_source(database, SECRETS_KEY))
    new = Keyring(read_keys([NEW_KEY, SECRETS_KEY]))
    with stored_secrets(database.dsn) as (_, store):
        (old,) = store.outdated(new.newest_key_id, None)
        asyncio.run(put_source(database, SECRETS_KEY))
        assert not store.replace(old, new.encrypt(b"[]", *old.context))

    assert asyncio.run(secrets_of_source(database, SECRETS_KEY)) == SOURCE.secrets


def test_rotation_is_not_in_the_audit_log(api: Api, rotate: Callable[..., tuple[int, Any]]) -> None:
    api.client("acme", "workflows:edit").put(f"{PATH}/stripe")
    rotate(NEW_KEY, SECRETS_KEY)

    entries = api.client("acme", "audit:read").get("/api/v1/audit").json()["items"]

    assert [entry["action"] for entry in entries] == ["webhook.created"]


def test_secret_under_a_missing_key_is_neither_lost_nor_in_the_way(
    api: Api, make_api: Callable[..., Api], rotate: Callable[..., tuple[int, Any]]
) -> None:
    secret = api.client("acme", "workflows:edit").put(f"{PATH}/stripe").json()["secret"]

    code, result = rotate(NEW_KEY)
    wrong = make_api(secrets_keys=NEW_KEY)
    client = wrong.client("acme")

    assert code == 1
    (unreadable,) = result["unreadable"]
    assert (unreadable["tenant"], unreadable["name"]) == ("acme", "stripe")
    assert "GOALD_SECRETS_KEYS" in unreadable["reason"]
    answer = send(wrong, event(), signed(secret, event()))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "the operator of goald must add its key" in answer.json()["detail"]
    # Everything else works.
    assert len(client.get(PATH).json()["items"]) == 1
    assert client.put("/api/v1/workflows/w", json={"name": "W"}).status_code == 201
    headers = {"content-type": "application/json"}
    assert client.post("/api/v1/events", content=event(), headers=headers).status_code == 202
    other = client.put(f"{PATH}/other").json()["secret"]
    body = event()
    assert send(wrong, body, signed(other, body), provider="other").status_code == 202
    # With the key, the secret is there again.
    assert send(api, event(), signed(secret, event())).status_code == 202


def test_without_a_key_no_secret_is_stored_and_the_error_names_the_setting(
    make_api: Callable[..., Api], database: Database
) -> None:
    api = make_api(secrets_keys=None)
    client = api.client("acme", "workflows:edit")
    store_plain(database, "acme", "old", parse_secret(SECRET))

    answer = client.put(f"{PATH}/stripe")

    assert answer.status_code == 503
    assert "GOALD_SECRETS_KEYS is not set" in answer.json()["detail"]
    assert [item["provider"] for item in client.get(PATH).json()["items"]] == ["old"]
    assert send(api, event(), signed(SECRET, event()), provider="old").status_code == 202


def test_rotation_without_a_key_changes_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store_plain(database, "acme", "stripe", parse_secret(SECRET))
    monkeypatch.setenv("GOALD_POSTGRES_DSN", database.dsn)

    code = main(["secrets", "rotate"])

    assert code == 2
    assert "GOALD_SECRETS_KEYS is not set" in capsys.readouterr().err
    assert parse_secret(SECRET).hex().encode() in dump(database)


def test_secret_that_is_moved_to_another_tenant_is_useless(
    api: Api, database: Database, rotate: Callable[..., tuple[int, Any]]
) -> None:
    secret = api.client("acme", "workflows:edit").put(f"{PATH}/stripe").json()["secret"]
    api.client("victim", "workflows:edit").put(f"{PATH}/stripe")
    with psycopg.connect(database.admin_dsn) as admin:
        admin.execute(
            "UPDATE goald.webhook_secrets v SET encrypted_secret = a.encrypted_secret"
            " FROM goald.webhook_secrets a WHERE v.tenant_id = 'victim' AND a.tenant_id = 'acme'"
        )

    answer = send(api, event(), signed(secret, event()), "victim")
    assert answer.status_code == 503
    assert "replace it with PUT" in answer.json()["detail"]
    assert send(api, event(), signed(secret, event())).status_code == 202
    code, result = rotate(NEW_KEY, SECRETS_KEY)
    assert (code, [each["tenant"] for each in result["unreadable"]]) == (1, ["victim"])


@pytest.mark.parametrize(
    "weak", [bytes(32), b"\xff" * 24, bytes(range(32)), b"abcd" * 8, b"password" * 4]
)
def test_weak_secret_is_refused(api: Api, weak: bytes) -> None:
    client = api.client("acme", "workflows:edit")

    answer = client.put(f"{PATH}/stripe", json={"secret": format_secret(weak)})

    assert answer.status_code == 400
    assert "the secret is not random" in answer.json()["detail"]
    assert format_secret(weak) not in answer.text
    assert client.get(PATH).json() == {"items": []}


def test_secret_that_is_replaced_during_a_rotation_keeps_its_new_value(
    api: Api, database: Database
) -> None:
    client = api.client("acme", "workflows:edit")
    client.put(f"{PATH}/stripe")
    new = Keyring(read_keys([NEW_KEY, SECRETS_KEY]))
    with stored_secrets(database.dsn) as (store, _):
        (old,) = store.outdated(new.newest_key_id, None)
        secret = client.put(f"{PATH}/stripe").json()["secret"]
        assert not store.replace(old, new.encrypt(b"x" * 32, *old.context))

    assert send(api, event(), signed(secret, event())).status_code == 202


def test_rotation_leaves_no_plain_text_in_the_file_of_the_table(
    database: Database, rotate: Callable[..., tuple[int, Any]]
) -> None:
    store_plain(database, "acme", "stripe", parse_secret(SECRET))

    assert rotate(SECRETS_KEY)[1]["encrypted"] == 1

    assert not [form for form in forms_of(SECRET) if form in table_file(database)]


def test_new_secret_replaces_a_plain_one(api: Api, database: Database) -> None:
    store_plain(database, "acme", "stripe", parse_secret(SECRET))

    secret = api.client("acme", "workflows:edit").put(f"{PATH}/stripe").json()["secret"]

    assert send(api, event(), signed(SECRET, event())).status_code == 401
    assert send(api, event(), signed(secret, event())).status_code == 202
    assert not [form for form in forms_of(SECRET) if form in dump(database)]
