"""Load test of the API: `python -m bench.load`, or `make load`.

    python -m bench.load [--seconds 60] [--rate 200] [--tenants 5] [--enrollments 100000]

Starts `goald serve --embedded` in a temporary directory, enrols contacts of several tenants,
completes some of the enrollments, runs Locust, and prints its table of percentiles. Exits with
1 if a request failed. Locust and goald share the machine.
"""

import argparse
import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt

from goald.client import Publisher, event

GOALD = (sys.executable, "-m", "goald.cli.main")
DEADLINE_S = 300.0
USER_RATE = 4.0
"""Requests per second of each Locust user."""
ACHIEVING = 0.1
"""The share of enrollments that are completed before the load test."""
SCOPES = "workflows:read workflows:edit events:write audit:read"
GOALS: dict[str, dict[str, Any]] = {
    "nurturing": {"goal_type": "tag_added", "criteria": {"tag_name": "Customer"}},
    "edited": {"goal_type": "form_submitted", "criteria": {"form_id": "form-1"}},
}


class Daemon:
    """Runs `goald serve --embedded` in a directory, from construction until `stop`."""

    def __init__(self, directory: Path) -> None:
        self._secret = secrets.token_urlsafe(32)
        inherited = {k: v for k, v in os.environ.items() if "GOALD_" not in k.upper()}
        self._environment = inherited | {
            "GOALD_DATA_DIR": str(directory),
            "GOALD_JWT_SECRET": self._secret,
            "GOALD_LOG_LEVEL": "warning",
        }
        self._process = subprocess.Popen(
            [*GOALD, "serve", "--embedded"], env=self._environment, stdout=subprocess.DEVNULL
        )

    def status(self) -> dict[str, Any]:
        """The output of `goald status`, when goald is ready and the lag is 0."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline and self._process.poll() is None:
            result = subprocess.run(
                [*GOALD, "status", "--json"],
                env=self._environment,
                capture_output=True,
                check=False,
            )
            if result.returncode == 0 and (found := dict(json.loads(result.stdout)))["lag"] == 0:
                return found
            time.sleep(0.2)
        raise SystemExit("goald does not become ready")

    def token(self, tenant: str) -> str:
        """A token for one tenant with all scopes."""
        claims = {"iss": "goald", "aud": "goald", "sub": "load", "exp": time.time() + 86_400}
        claims |= {"tenant_id": tenant, "scope": SCOPES}
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def stop(self) -> None:
        """Stop it with SIGTERM; after 30 s, with SIGKILL."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def configure(url: str, token: str) -> None:
    """Create and activate the workflows of a tenant."""
    with httpx.Client(
        base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=30
    ) as client:
        for workflow, goal in GOALS.items():
            path = f"/api/v1/workflows/{workflow}"
            for method, where, body in (
                ("PUT", path, {"name": workflow, "goal_logic": "any"}),
                ("POST", f"{path}/goals", goal),
                ("POST", f"{path}/activate", None),
            ):
                client.request(method, where, json=body).raise_for_status()


async def seed(redis_url: str, tenants: list[str], contacts: int) -> None:
    """Enrol `contacts` per tenant, and complete some of the enrollments."""
    async with Publisher(redis_url) as publisher:
        for tenant in tenants:
            await publisher.publish_many(_events(tenant, contacts))


def _events(tenant: str, contacts: int) -> Iterator[dict[str, Any]]:
    began = datetime.now(UTC)
    for number in range(contacts):
        enrolment = {"workflow_id": "nurturing", "enrollment_id": f"e-{number}"}
        at = began - timedelta(seconds=number % 3_600)
        yield event("workflow.enrollment.started", tenant, f"c-{number}", enrolment, time=at)
    for number in range(0, contacts, round(1 / ACHIEVING)):
        yield event("contact.tag.added", tenant, f"c-{number}", {"tag_name": "Customer"})


def locust(url: str, tokens: dict[str, str], contacts: int, options: argparse.Namespace) -> int:
    """Run Locust. Returns its exit code."""
    environment = os.environ | {
        "LOAD_TOKENS": json.dumps(tokens),
        "LOAD_CONTACTS": str(contacts),
        "LOAD_USER_RATE": str(USER_RATE),
    }
    users = max(1, round(options.rate / USER_RATE))
    arguments = [
        "--headless",
        "--only-summary",
        "--users",
        users,
        "--spawn-rate",
        users / 2,
        "--reset-stats",
    ]
    arguments += ["--run-time", f"{options.seconds}s", "--host", url, "--loglevel", "WARNING"]
    file = Path(__file__).with_name("locustfile.py")
    return subprocess.run(
        [sys.executable, "-m", "locust", "-f", str(file), *map(str, arguments)],
        env=environment,
        check=False,
    ).returncode


def main() -> None:
    """Run the load test. Takes `--seconds` and about 30 s more."""
    parser = argparse.ArgumentParser(prog="python -m bench.load")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rate", type=float, default=200, help="requests per second")
    parser.add_argument("--tenants", type=int, default=5)
    parser.add_argument("--enrollments", type=int, default=100_000, help="of all tenants")
    options = parser.parse_args()
    contacts = options.enrollments // options.tenants
    with tempfile.TemporaryDirectory(prefix="goald-load-") as directory:
        daemon = Daemon(Path(directory) / "data")
        try:
            found = daemon.status()
            tokens = {f"load-{n}": daemon.token(f"load-{n}") for n in range(options.tenants)}
            for token in tokens.values():
                configure(found["api_url"], token)
            asyncio.run(seed(found["redis_url"], list(tokens), contacts))
            daemon.status()
            code = locust(found["api_url"], tokens, contacts, options)
            print(f"dead letters: {daemon.status()['dead']}")
        finally:
            daemon.stop()
    raise SystemExit(code)


if __name__ == "__main__":
    main()
