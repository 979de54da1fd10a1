"""The disk of Postgres is full (D6): goald waits, and continues where it stopped.

Postgres runs on a small tmpfs, which is then filled. It refuses statements that need space, or
ends if it cannot even log; both happen. If mounting a tmpfs is not permitted, nothing is tested,
and the note of the round has the reason.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from tests.fault.harness.environment import single_process_environment
from tests.fault.harness.history import Shape
from tests.fault.harness.registry import FaultContext, fault
from tests.fault.harness.servers import PostgresServer, until

FREE_BYTES = 48 << 20
"""Free space before the disk is filled."""
FULL_S = 6.0


@fault("disk full under Postgres", test=1, torture=5, environment=single_process_environment,
       shape=Shape(contacts=200))  # fmt: skip
def fill_disk(context: FaultContext) -> None:
    postgres = context.environment.servers.postgres
    with _small_disk(postgres) as mount_error:
        if mount_error:
            context.notes.append(f"not tested, cannot mount a tmpfs: {mount_error}")
            return
        ballast = postgres.directory / "ballast"
        _fill(ballast)
        try:
            until("disk-full error", lambda: _refuses(postgres))
            until("goald not ready", lambda: not context.environment.is_ready())
            time.sleep(context.rng.uniform(0, FULL_S))
        finally:
            ballast.unlink()
        context.notes.append("refused" if _answers(postgres) else "Postgres ended")
        until("Postgres", lambda: _answers(postgres) or _start(postgres))


@contextmanager
def _small_disk(postgres: PostgresServer) -> Iterator[str]:
    """Move the files to a tmpfs during the `with` block, then back. Yields the error text if the
    tmpfs cannot be mounted, otherwise an empty text."""
    directory = postgres.directory
    aside = directory.with_name("postgres-aside")
    size = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    postgres.stop()
    directory.rename(aside)
    directory.mkdir(mode=0o700)
    shutil.copystat(aside, directory)
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size + FREE_BYTES},mode=0700", "none", directory],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounting.returncode:
        directory.rmdir()
        aside.rename(directory)
        postgres.start()
        yield mounting.stderr.strip()
        return
    try:
        _copy(aside, directory)
        postgres.start()
        yield ""
    finally:
        postgres.stop()
        shutil.rmtree(aside)
        _copy(directory, aside)
        subprocess.run(["umount", directory], check=True)
        directory.rmdir()
        aside.rename(directory)
        postgres.start()


def _copy(source: Path, target: Path) -> None:
    """Copy a directory to an empty or missing one, with owners and permissions."""
    target.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["cp", "-a", f"{source}/.", f"{target}/"], check=True)


def _fill(ballast: Path) -> None:
    """Use all free space."""
    block = bytes(1 << 16)
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(block)
        except OSError:
            return


def _refuses(postgres: PostgresServer) -> bool:
    """Whether it has no space for a small table, or does not run."""
    try:
        postgres.sql("CREATE TABLE ballast AS SELECT generate_series(1, 100000) AS n")
        postgres.sql("DROP TABLE ballast")
    except psycopg.Error:
        return True
    return False


def _answers(postgres: PostgresServer) -> bool:
    try:
        return postgres.sql("SELECT 1") == [(1,)]
    except psycopg.Error:
        return False


def _start(postgres: PostgresServer) -> bool:
    postgres.start()
    return True
