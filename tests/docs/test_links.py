"""Every link, path and page that the documentation names exists."""

import re
import subprocess
from pathlib import Path

import pytest
from tests.docs.pages import ROOT, anchors, links, pages, prose

TREES = ("src", "native", "tests", "docs", "deploy", "bench", "examples", "scripts", "requirements")
PATH = re.compile(rf"`((?:{'|'.join(TREES)})/[\w./-]*[\w/])(?:::\w+)?`")
"""A path of the repository, as prose names it."""
MOST_LINES = 120
"""Of ARCHITECTURE.md, which is an overview."""


def tracked() -> set[str]:
    """Every file and folder of the repository, relative to its root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    files = [Path(name) for name in listed.split("\0") if name and (ROOT / name).exists()]
    return {str(path) for file in files for path in (file, *file.parents)}


@pytest.mark.parametrize("page", [str(page) for page in pages()])
def test_every_relative_link_leads_to_a_file_and_a_heading(page: str) -> None:
    files = tracked()
    for target in links(Path(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, fragment = target.partition("#")
        found = (ROOT / page).parent / name if name else ROOT / page
        relative = found.resolve().relative_to(ROOT)
        assert str(relative) in files, f"{page} links to {target}, which does not exist"
        if fragment:
            assert fragment in anchors(relative), f"{page} links to {target}: no such heading"


@pytest.mark.parametrize("page", [str(page) for page in pages()])
def test_every_path_that_a_page_names_exists(page: str) -> None:
    if page == "docs/faults.md":
        pytest.skip("its tables are written by the fault suite, at the commit that they name")
    files = tracked()
    missing = [path for path in PATH.findall(prose(Path(page))) if path.rstrip("/") not in files]
    assert missing == []


def test_the_index_leads_to_every_page() -> None:
    linked: set[str] = set()
    pages_to_read = [Path("README.md"), Path("docs/README.md")]
    while pages_to_read:
        page = pages_to_read.pop()
        if str(page) in linked:
            continue
        linked.add(str(page))
        for target in links(page):
            name = target.partition("#")[0]
            if name.endswith(".md") and ":" not in name:
                pages_to_read.append(((ROOT / page).parent / name).resolve().relative_to(ROOT))
    documentation = {str(page) for page in pages() if page.parts[0] == "docs"}
    assert documentation - linked == set()


def test_the_architecture_page_names_every_package_and_stays_an_overview() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for package in sorted((ROOT / "src/goald").iterdir()):
        if package.is_dir() and any(package.glob("*.py")):
            assert f"`src/goald/{package.name}" in text, package.name
    for parent in ("pipeline", "runtime"):
        for folder in sorted((ROOT / "src/goald" / parent).iterdir()):
            if folder.is_dir() and any(folder.glob("*.py")):
                assert f"`src/goald/{parent}/{folder.name}`" in text, folder.name
    assert len(text.splitlines()) <= MOST_LINES
