"""`make audit` against an advisory database on this machine."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
AUDIT = ROOT / ".venv/audit/bin/python"
HASH = "0" * 64
DEADLINE_S = 240

pytestmark = pytest.mark.skipif(not AUDIT.exists(), reason="needs .venv/audit: make audit")

Answer = Callable[[str], tuple[int, object]]


@contextmanager
def database(answer: Answer) -> Iterator[str]:
    """The URL of a server that answers for each package as OSV does."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, body = answer(query["package"]["name"])
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def audit(
    url: str, requirements: Path, *, path: str | None = None, **variables: str
) -> tuple[int, str]:
    """Exit code and output of the audit of one file. cargo-deny is hidden unless `path` has it."""
    done = subprocess.run(
        [AUDIT, "-m", "scripts.supply_chain.audit", requirements],
        cwd=ROOT,
        env=os.environ
        | {"OSV_URL": url, "NO_PROXY": "127.0.0.1", "PATH": path or "/nowhere"}
        | variables,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    path = tmp_path / "small.txt"
    path.write_text(
        f"redis==6.4.0 --hash=sha256:{HASH}\norjson==3.11.0 --hash=sha256:{HASH}\n",
        encoding="utf-8",
    )
    return path


def advisory(name: str) -> dict[str, object]:
    affected = {
        "package": {"name": name, "ecosystem": "PyPI"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9.9.9"}]}],
    }
    return {"vulns": [{"id": "PYSEC-2026-1", "summary": "bad", "affected": [affected]}]}


def test_a_matching_advisory_fails_the_audit(requirements: Path) -> None:
    with database(lambda name: (200, advisory(name) if name == "redis" else {})) as url:
        code, output = audit(url, requirements)
    assert code == 1
    assert "vulnerabilities in small.txt: FAILED" in output
    assert "redis 6.4.0: PYSEC-2026-1, fixed in 9.9.9" in output


def test_packages_without_an_advisory_pass_the_audit(requirements: Path) -> None:
    with database(lambda _: (200, {})) as url:
        code, output = audit(url, requirements)
    assert code == 0, output
    assert "PASSED: 2 packages without a known vulnerability" in output


def test_an_unreachable_database_is_skipped_and_reported_as_skipped(requirements: Path) -> None:
    with database(lambda _: (200, {})) as url:
        pass
    code, output = audit(url, requirements)
    assert code == 0, output
    assert "SKIPPED: the advisory database cannot be reached from here" in output
    assert "cargo install --locked cargo-deny" in output


def test_a_skipped_audit_fails_where_it_is_required(requirements: Path) -> None:
    with database(lambda _: (200, {})) as url:
        code, _ = audit(url, requirements, AUDIT_REQUIRED="1")
    assert code == 1, "cargo-deny is not installed there"


def test_a_database_that_answers_with_errors_fails_the_audit(requirements: Path) -> None:
    with database(lambda _: (500, {})) as url:
        code, output = audit(url, requirements)
    assert code == 1
    assert "FAILED: pip-audit ended with" in output


@pytest.mark.skipif(shutil.which("cargo-deny") is None, reason="needs cargo-deny")
def test_licenses_and_sources_of_all_crates_are_allowed(requirements: Path) -> None:
    with database(lambda _: (200, {})) as url:
        code, output = audit(url, requirements, path=os.environ["PATH"])
    assert code == 0, output
    assert "Rust crates, bans licenses sources: PASSED" in output
