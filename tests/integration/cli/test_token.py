"""`goald token`: claims, secrets and refused arguments."""

import asyncio
import base64
import time
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest
from pydantic import SecretStr
from tests.support.services.commands import Ran

from goald.api.auth.tokens import JwtVerifier, Secret
from goald.api.ports import Caller
from goald.runtime.embedded.secret import secrets_key, token_secret
from goald.settings import TokenSettings

SECRET = "a secret of thirty-two characters"
ASKED = ("--tenant", "acme", "--scope", "workflows:read events:write")


def verified(token: str, secret: str = SECRET, issuer: str = "goald") -> Caller:
    """The caller that the API sees. Raises Unauthorized."""
    settings = TokenSettings(
        algorithm="HS256", issuer=issuer, audience="goald", secret=SecretStr(secret)
    )
    return asyncio.run(JwtVerifier(settings, Secret(secret)).verify(token))


@pytest.fixture
def with_secret(clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOALD_JWT_SECRET", SECRET)


def lifetime(token: str) -> int:
    claims = jwt.decode(token, options={"verify_signature": False})
    assert abs(claims["iat"] - time.time()) < 60
    return int(claims["exp"] - claims["iat"])


@pytest.mark.usefixtures("with_secret")
def test_token_prints_only_a_token_that_the_api_accepts(run: Callable[..., Ran]) -> None:
    ran = run("token", *ASKED, "--subject", "ann")
    assert ran.code == 0
    token, rest = ran.out.split("\n", 1)
    assert rest == ""
    assert verified(token) == Caller("acme", "ann", frozenset({"workflows:read", "events:write"}))
    assert lifetime(token) == 3_600


@pytest.mark.usefixtures("with_secret")
def test_the_default_subject_is_the_login_name(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "bob")
    assert verified(run("token", *ASKED).out.strip()).subject == "bob"


@pytest.mark.usefixtures("with_secret")
@pytest.mark.parametrize(
    ("given", "seconds"), [("90s", 90), ("30m", 1_800), ("12h", 43_200), ("7d", 604_800)]
)
def test_the_token_expires_after_the_requested_time(
    run: Callable[..., Ran], given: str, seconds: int
) -> None:
    assert lifetime(run("token", *ASKED, "--expires", given).out.strip()) == seconds


@pytest.mark.usefixtures("with_secret")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--tenant", "acme", "--scope", "workflows:write"), "unknown: workflows:write"),
        (("--tenant", "acme", "--scope", " "), "workflows:edit"),
        (("--tenant", "a\nb", "--scope", "audit:read"), "--tenant"),
        (("--tenant", "", "--scope", "audit:read"), "--tenant"),
        ((*ASKED, "--subject", "x" * 257), "--subject"),
        ((*ASKED, "--expires", "soon"), "--expires"),
        ((*ASKED, "--expires", "0s"), "--expires"),
        ((*ASKED, "--expires", "99999d"), "--expires"),
    ],
)
def test_arguments_that_the_api_would_refuse_are_usage_errors(
    run: Callable[..., Ran], words: tuple[str, ...], expected: str
) -> None:
    ran = run("token", *words)
    assert ran.code == 2
    assert expected in ran.err
    assert ran.out == ""


@pytest.mark.usefixtures("clean")
def test_without_a_secret_the_error_contains_the_settings_to_set(run: Callable[..., Ran]) -> None:
    ran = run("token", *ASKED)
    assert ran.code == 2
    assert "GOALD_JWT_SECRET" in ran.err
    assert "GOALD_DATA_DIR" in ran.err


@pytest.mark.usefixtures("clean")
def test_the_token_is_signed_with_the_data_directorys_secret_if_no_other_is_set(
    run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOALD_DATA_DIR", str(tmp_path))
    created = token_secret(tmp_path).get_secret_value()
    assert verified(run("token", *ASKED).out.strip(), created).tenant_id == "acme"
    assert token_secret(tmp_path).get_secret_value() == created
    monkeypatch.setenv("GOALD_JWT_SECRET", SECRET)
    assert verified(run("token", *ASKED).out.strip()).tenant_id == "acme"


@pytest.mark.usefixtures("clean")
def test_the_data_directory_is_ignored_if_both_addresses_are_set(
    run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API at these addresses would refuse a token with this secret."""
    monkeypatch.setenv("GOALD_DATA_DIR", str(tmp_path))
    token_secret(tmp_path)
    monkeypatch.setenv("GOALD_REDIS_URL", "redis://elsewhere")
    monkeypatch.setenv("GOALD_POSTGRES_DSN", "postgresql://elsewhere/goald")
    ran = run("token", *ASKED)
    assert ran.code == 2
    assert "GOALD_JWT_SECRET" in ran.err


@pytest.mark.usefixtures("with_secret")
def test_the_token_has_the_configured_issuer_and_audience(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOALD_JWT_ISSUER", "platform")
    assert verified(run("token", *ASKED).out.strip(), issuer="platform").tenant_id == "acme"


@pytest.mark.usefixtures("with_secret")
@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_token_is_refused_if_an_identity_provider_signs_the_tokens(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    monkeypatch.setenv("GOALD_JWT_ALGORITHM", algorithm)
    ran = run("token", *ASKED)
    assert ran.code == 2
    assert f"GOALD_JWT_ALGORITHM is {algorithm}" in ran.err
    assert ran.out == ""


def test_a_truncated_secret_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "token-secret").write_text("half")
    created = token_secret(tmp_path).get_secret_value()
    assert len(created) >= 43
    assert token_secret(tmp_path).get_secret_value() == created


def test_the_encryption_key_is_generated_once(tmp_path: Path) -> None:
    (tmp_path / "secrets-key.new").write_text("half")
    created = secrets_key(tmp_path).get_secret_value()
    assert len(base64.b64decode(created, validate=True)) == 32
    assert secrets_key(tmp_path).get_secret_value() == created
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secrets-key"]
