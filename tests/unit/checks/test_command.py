"""`python -m scripts.checks`, as `make words` and `make structure` run it."""

import subprocess
from pathlib import Path

import pytest
from scripts.checks import __main__ as command


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty git checkout that the command checks."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    monkeypatch.setattr(command, "ROOT", tmp_path)
    return tmp_path


def test_prints_each_finding_and_exits_with_1(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "a.py").write_text("# Written anew.\n")

    assert command.main(["words"]) == 1
    assert capsys.readouterr().out == "a.py:1: 'anew': use again, or leave it out\n"


def test_exits_with_0_if_there_is_nothing_to_report(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "a.py").write_text("# Written again.\n")
    (checkout / "image.png").write_bytes(b"\x89PNG\xff")

    assert command.main(["words"]) == 0
    assert command.main(["words", "--summary"]) == 0
    assert command.main(["structure"]) == 0
    assert capsys.readouterr().out == ""


def test_paths_limit_the_findings(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("src", "docs"):
        (checkout / folder).mkdir()
        (checkout / folder / "a.md").write_text("Written anew.\n")

    assert command.main(["words", "docs"]) == 1
    assert capsys.readouterr().out.startswith("docs/a.md:1:")


def test_the_summary_counts_by_area(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "docs").mkdir()
    (checkout / "docs" / "a.md").write_text("Written anew, and anew.\n")
    (checkout / "README.md").write_text("Written anew.\n")

    assert command.main(["words", "--summary"]) == 1
    assert capsys.readouterr().out.splitlines() == ["     2  docs", "     1  .", "     3  in all"]


def test_ignored_files_are_not_checked(checkout: Path) -> None:
    (checkout / ".gitignore").write_text("built/\n")
    (checkout / "built").mkdir()
    (checkout / "built" / "a.md").write_text("Written anew.\n")

    assert command.main(["words"]) == 0
