"""Settings come from variables and one file, and a wrong one is named."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from goald.domain.errors import SettingsError
from goald.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No GOALD_* variable is set, and the directory has no goald.toml."""
    for name in list(os.environ):
        if name.upper().startswith("GOALD_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_defaults_need_nothing() -> None:
    settings = load_settings()
    assert settings.streams is None, "the number stored in Redis"
    assert (settings.shards, settings.consumers) == (2, 1)
    assert settings.data_dir == Path(".goald")


def test_options_take_precedence_over_variables_and_variables_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "goald.toml").write_text("streams = 8\nshards = 8\nconsumers = 8\n")
    monkeypatch.setenv("GOALD_SHARDS", "16")
    monkeypatch.setenv("GOALD_CONSUMERS", "16")
    settings = load_settings(consumers=32, streams=None)
    assert (settings.streams, settings.shards, settings.consumers) == (8, 16, 32)


def test_the_file_may_be_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("streams = 6\n")
    monkeypatch.setenv("GOALD_CONFIG", str(tmp_path / "other.toml"))
    assert load_settings().streams == 6


def test_a_missing_config_file_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOALD_CONFIG", "/nowhere/goald.toml")
    with pytest.raises(SettingsError, match=r"GOALD_CONFIG: there is no file /nowhere/goald\.toml"):
        load_settings()


def test_a_file_that_is_not_toml_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "goald.toml").write_text("streams: 4\n")
    with pytest.raises(SettingsError, match=r"Cannot read goald\.toml: "):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GOALD_STREAMS", "0"),
        ("GOALD_STREAMS", "257"),
        ("GOALD_SHARDS", "two"),
        ("GOALD_METRICS_PORT", "70000"),
        ("GOALD_CLOCK_SKEW", "-1"),
        ("GOALD_LOG_LEVEL", "loud"),
        ("GOALD_REDIS_URL", ""),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"wrong settings: {name}: "):
        load_settings()


URLS = ["GOALD_REDIS_URL", "GOALD_POSTGRES_DSN", "GOALD_POSTGRES_OWNER_DSN",
        "GOALD_POSTGRES_API_DSN", "GOALD_JWKS_URL"]  # fmt: skip


@pytest.mark.parametrize("address", ["user:secret@host:1/x", "host", "ftp://user:secret@host/x"])
@pytest.mark.parametrize("name", [*URLS, "GOALD_RAY_ADDRESS"])
def test_an_address_without_the_right_scheme_is_refused_with_an_example(
    monkeypatch: pytest.MonkeyPatch, name: str, address: str
) -> None:
    monkeypatch.setenv(name, address)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert str(raised.value).startswith(f"wrong settings: {name}: must be")
    assert ". Example: " in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("name", URLS)
def test_an_address_with_an_unescaped_password_is_refused_with_advice(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    scheme = {"GOALD_REDIS_URL": "redis", "GOALD_JWKS_URL": "https"}.get(name, "postgresql")
    monkeypatch.setenv(name, f"{scheme}://user:pass/secret@host/x")
    with pytest.raises(SettingsError, match="Percent-encode") as raised:
        load_settings()
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("GOALD_REDIS_URL", "redis://localhost"),
        ("GOALD_REDIS_URL", "rediss://:p%2Fw@[::1]:6380/3"),
        ("GOALD_REDIS_URL", "unix:///run/redis.sock?db=1"),
        ("GOALD_POSTGRES_DSN", "postgres://goald@%2Ftmp%2Fs/goald"),
        ("GOALD_POSTGRES_DSN", "postgresql:///goald?host=/tmp/s&port=5432"),
        ("GOALD_POSTGRES_OWNER_DSN", "postgresql://goald@a:5432,b:5433/goald"),
        ("GOALD_JWKS_URL", "http://127.0.0.1:8000/jwks.json"),
        ("GOALD_RAY_ADDRESS", "auto"),
        ("GOALD_RAY_ADDRESS", "10.0.0.1:6379"),
        ("GOALD_RAY_ADDRESS", "ray://head:10001"),
    ],
)
def test_the_addresses_that_the_libraries_take_are_accepted(
    monkeypatch: pytest.MonkeyPatch, name: str, address: str
) -> None:
    monkeypatch.setenv(name, address)
    settings = load_settings()
    assert getattr(settings, name.removeprefix("GOALD_").lower()) == address


def test_all_wrong_values_are_named_in_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOALD_STREAMS", "x")
    monkeypatch.setenv("GOALD_SHARDS", "y")
    with pytest.raises(SettingsError, match=r"GOALD_STREAMS: .*GOALD_SHARDS: "):
        load_settings()


def test_a_misspelt_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOALD_SHARD", "4")
    with pytest.raises(
        SettingsError, match=r"^unknown setting GOALD_SHARD: did you mean GOALD_SHARDS\?$"
    ):
        load_settings()


def test_a_misspelt_name_in_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "goald.toml").write_text("shard = 4\n")
    with pytest.raises(
        SettingsError, match=r"^unknown setting shard in goald\.toml: did you mean shards\?$"
    ):
        load_settings()


def test_a_missing_address_is_named() -> None:
    with pytest.raises(SettingsError, match=r"GOALD_REDIS_URL is not set.*--embedded"):
        _ = load_settings().redis
    with pytest.raises(SettingsError, match="GOALD_POSTGRES_DSN is not set"):
        _ = load_settings().postgres


def test_logins_of_the_other_roles_fall_back_to_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOALD_POSTGRES_DSN", "postgresql://shard@h/g")
    monkeypatch.setenv("GOALD_POSTGRES_OWNER_DSN", "postgresql://owner@h/g")
    postgres = load_settings().postgres
    assert postgres.owner_dsn == "postgresql://owner@h/g"
    assert postgres.api_dsn == postgres.dsn == "postgresql://shard@h/g"


def test_settings_cannot_be_changed_once_they_are_read() -> None:
    with pytest.raises(ValidationError):
        load_settings().streams = 5  # type: ignore[misc]


def test_every_setting_has_a_description() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_the_required_length_of_a_secret_is_in_characters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOALD_JWT_SECRET", "short")
    with pytest.raises(SettingsError, match=r"GOALD_JWT_SECRET: must have at least 32 char"):
        load_settings()


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("x" * 32, "all its bytes are equal"),
        ("changeme" * 4, "it has only 7 different bytes"),
        ("0123456789abcdef" * 2, "it repeats the same 16 bytes"),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`", "its bytes only count up or down"),
    ],
)
def test_a_secret_that_anyone_can_guess_is_refused_without_being_printed(
    monkeypatch: pytest.MonkeyPatch, secret: str, reason: str
) -> None:
    monkeypatch.setenv("GOALD_JWT_SECRET", secret)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert f"GOALD_JWT_SECRET: the secret is not random: {reason}. Use" in str(refused.value)
    assert secret not in str(refused.value)


def test_used_events_are_kept_while_ended_enrollments_are_watched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load_settings().used_keep_days == 90
    monkeypatch.setenv("GOALD_LATE", str(100 * 86_400))
    assert load_settings().used_keep_days == 101


def test_the_file_is_named_with_a_wrong_value_from_it(tmp_path: Path) -> None:
    (tmp_path / "goald.toml").write_text("shards = 0\n")
    with pytest.raises(SettingsError, match=r"shards in goald\.toml: must be greater than"):
        load_settings()


def test_an_unknown_setting_without_a_similar_one_is_named_without_a_suggestion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOALD_XYZZY", "1")
    with pytest.raises(SettingsError, match=r"^unknown setting GOALD_XYZZY$"):
        load_settings()


def test_the_allowed_values_of_a_setting_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOALD_LOG_LEVEL", "loud")
    with pytest.raises(SettingsError, match="must be debug, info, warning or error"):
        load_settings()
