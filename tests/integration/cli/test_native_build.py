"""A compiled matcher that was built for another version is reported, and nothing starts with it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import goald

PACKAGE = Path(goald.__file__).parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with a package of goald that has the compiled matcher of this one."""
    shutil.copytree(PACKAGE, tmp_path / "goald")  # with the compiled Python, which saves seconds
    return tmp_path


def run(checkout: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if "GOALD_" not in key}
    return subprocess.run(
        [sys.executable, "-m", "goald.cli.main", *command],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_matcher_of_an_older_version_is_refused_at_the_start(checkout: Path) -> None:
    with (checkout / "goald/_native.pyi").open("a", encoding="utf-8") as stub:
        stub.write("\ndef added() -> int: ...\n")
    for command in (["api"], ["serve", "--embedded"]):
        refused = run(checkout, *command)
        assert refused.returncode == 1, refused.stderr
        assert "was built for another version of goald: run `make ext`" in refused.stderr
    assert not (checkout / ".goald").exists()


def test_a_missing_matcher_is_refused_at_the_start(checkout: Path) -> None:
    for module in checkout.glob("goald/_native*.so"):
        module.unlink()
    refused = run(checkout, "api")
    assert refused.returncode == 1
    assert "cannot be loaded" in refused.stderr
    assert "run `make ext`" in refused.stderr
