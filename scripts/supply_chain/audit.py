"""`make audit`: known vulnerabilities, licenses and sources of all locked packages.

Exits with 1 if a check fails. A check that is skipped, because its tool is not installed or the
advisory database cannot be reached, is printed and does not fail, unless AUDIT_REQUIRED is set.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from scripts.supply_chain.verdict import Verdict, of_cargo_deny, of_pip_audit

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 180.0
"""For each tool: CI must end in time although a network swallows packets."""
_CARGO_DENY = "cargo-deny is not installed. Get it: cargo install --locked cargo-deny"


def main(paths: Sequence[Path] = ()) -> int:
    """Print the result of each check. `paths`: the requirements files, by default all of
    requirements/."""
    required = bool(os.environ.get("AUDIT_REQUIRED"))
    bad = 0
    for name, verdict in _checks(paths or sorted((ROOT / "requirements").glob("*.txt"))):
        print(f"{name}: {verdict.state.upper()}: {verdict.text}", flush=True)
        bad += verdict.state == "failed" or (required and verdict.state == "skipped")
    return 1 if bad else 0


def _checks(paths: Sequence[Path]) -> Iterator[tuple[str, Verdict]]:
    for path in paths:
        yield f"vulnerabilities in {path.name}", audit_requirements(path)
    if shutil.which("cargo-deny") is None:
        yield "Rust crates", Verdict("skipped", _CARGO_DENY)
        return
    for checks in ("bans licenses sources", "advisories"):
        yield f"Rust crates, {checks}", audit_crates(checks)


def audit_requirements(path: Path) -> Verdict:
    """Look up the packages of a locked requirements file. OSV_URL names another database."""
    url = os.environ.get("OSV_URL")
    code, output, errors = _run(
        [
            *(sys.executable, "-m", "pip_audit", "--requirement", str(path), "--disable-pip"),
            *("--vulnerability-service", "osv", "--format", "json"),
            *("--progress-spinner", "off", "--timeout", "10"),
            *(("--osv-url", url) if url else ()),
        ]
    )
    return of_pip_audit(code, output, errors)


def audit_crates(checks: str) -> Verdict:
    """Check the crates of Cargo.lock against deny.toml. `checks`: those of cargo-deny, separated
    by spaces."""
    code, _, errors = _run(
        ["cargo", "deny", "--locked", "--color", "never", "check", *checks.split()]
    )
    return of_cargo_deny(checks, code, errors)


def _run(command: Sequence[str]) -> tuple[int, str, str]:
    """Exit code, output and errors. A command that takes too long has timed out."""
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 124, "", f"timed out after {TIMEOUT_S:g} s"
    return done.returncode, done.stdout, done.stderr


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]]))
