"""The files of deploy/ set what a service needs, and their commands create valid values."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.docs.pages import ROOT

from goald.adapters.keyring import read_keys
from goald.settings import PREFIX, Settings, load_settings

DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
UNIT = DEPLOY / "systemd" / "goald.service"
UNITS = tuple(DEPLOY / "systemd" / f"goald-{name}.service" for name in ("api", "worker"))
FILES = (COMPOSE, UNIT, *UNITS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.name))
def test_every_setting_of_a_file_exists_and_none_that_a_service_needs_is_missing(
    path: Path,
) -> None:
    variables = set(re.findall(r"\bGOALD_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8")))
    own = {"GOALD_POSTGRES_PASSWORD"}  # of the Compose file
    assert variables - own <= {PREFIX + name.upper() for name in Settings.model_fields}
    assert variables >= {"GOALD_JWT_SECRET", "GOALD_SECRETS_KEYS", "GOALD_MAX_WORKFLOWS"}


@pytest.mark.parametrize(
    ("path", "file"), [(COMPOSE, "deploy/.env"), (UNIT, "/etc/goald/goald.env")]
)
def test_the_command_in_the_comment_creates_a_secret_and_key_that_others_cannot_read(
    path: Path, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    comment = re.search(r"^#   (\(umask.*?\.env\))$", path.read_text(encoding="utf-8"), re.M | re.S)
    assert comment is not None
    command = comment[1].replace("\n#", "\n").replace(file, "env")
    subprocess.run(["bash", "-euc", command], cwd=tmp_path, check=True, stderr=subprocess.PIPE)
    assert (tmp_path / "env").stat().st_mode & 0o077 == 0
    for line in (tmp_path / "env").read_text(encoding="utf-8").splitlines():
        monkeypatch.setenv(*line.split("=", 1))
    settings = load_settings()
    assert settings.jwt_secret is not None
    assert settings.secrets_keys is not None
    [key] = read_keys([key.get_secret_value() for key in settings.secrets_keys])
    assert len(key) == 32


def test_the_environment_of_the_compose_file_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    services = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    required = {
        "GOALD_JWT_SECRET": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwx2fV",
        "GOALD_SECRETS_KEYS": "u1Yq0ZQb3N3l5yq0cB7a1uHn1yq9Jk4Xw6Qm0hP2s8A=",
    }
    for name in ("migrate", "goald", "api", "worker"):
        for variable, text in services[name]["environment"].items():
            value = re.sub(
                r"\$\{(\w+):([-?])(.*?)\}",
                lambda found: found[3] if found[2] == "-" else required[found[1]],
                str(text),
            )
            monkeypatch.setenv(variable, value)
        settings = load_settings()
        assert settings.tokens is not None
        assert settings.secrets_keys is not None
        assert settings.max_workflows == 10_000
