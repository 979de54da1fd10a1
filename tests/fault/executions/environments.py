"""The environments of races: each with a Postgres that records the times of commits."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Self

from tests.fault.harness.daemon_process import GOALD, DaemonProcess
from tests.fault.harness.environment import FaultEnvironment
from tests.fault.harness.single_process import SingleProcess

_SECRETS_KEY: Final = "j1N9xjP0T0dJHrNpyqR4Qk1cVYyP3x2Kq2Z8m5nU7wE="
_WORKER: Final = {
    "GOALD_SECRETS_KEYS": _SECRETS_KEY,
    "GOALD_WEBHOOK_ALLOW_PRIVATE": "true",
}


class RacesEnvironment(FaultEnvironment):
    """Postgres records the times of commits; see `pg_xact_commit_timestamp`."""

    def __enter__(self) -> Self:
        super().__enter__()
        postgres = self.servers.postgres
        postgres.sql("ALTER SYSTEM SET track_commit_timestamp = on")
        postgres.stop()
        postgres.start()
        return self


class DaemonWithWorkers(DaemonProcess):
    """A daemon that serves the API and performs actions."""

    roles = (*DaemonProcess.roles, "api:0", "worker:0")


def daemon_races() -> RacesEnvironment:
    """`goald serve` with the API and a worker that may call this machine."""
    more = _WORKER | {"GOALD_API_PORT": "0", "GOALD_JWT_SECRET": secrets.token_hex(32)}
    return RacesEnvironment(
        lambda servers: DaemonWithWorkers(
            servers.redis.url, servers.postgres.dsn, servers.path, more
        )
    )


def single_process_races() -> RacesEnvironment:
    """goald in one process, without Ray and without a worker; see `worker`."""
    return RacesEnvironment(
        lambda servers: SingleProcess(
            servers.redis.url, servers.postgres.dsn, str(servers.data.logs)
        )
    )


@contextmanager
def worker(target: FaultEnvironment) -> Iterator[None]:
    """`goald worker`, which may call this machine."""
    inherited = {name: value for name, value in os.environ.items() if "GOALD_" not in name.upper()}
    settings = {
        "GOALD_REDIS_URL": target.redis_url,
        "GOALD_POSTGRES_DSN": target.servers.postgres.dsn,
        "GOALD_DATA_DIR": str(target.servers.path / "unused"),
    }
    with (target.servers.path / "worker.log").open("ab") as output:
        process = subprocess.Popen(
            [*GOALD, "worker"],
            env=inherited | _WORKER | settings,
            cwd=target.servers.path,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()
