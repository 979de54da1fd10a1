"""A disk without room under Postgres (D6): goald waits, and goes on where it stopped.

Postgres is put on a small tmpfs, which is then filled up. It refuses what needs room, or ends
itself where it cannot even log; both happen. Where mounting is refused nothing is tested, and
the round says so.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from tests.fault.harness.history import Shape
from tests.fault.harness.registry import Act, fault
from tests.fault.harness.servers import PostgresServer, until
from tests.fault.harness.stage import plain_stage

ROOM_BYTES = 48 << 20
"""More than the files take before the disk is filled."""
FULL_S = 6.0


@fault("disk full under Postgres", test=1, torture=5, stage=plain_stage,
       shape=Shape(contacts=200))  # fmt: skip
def fill_disk(act: Act) -> None:
    postgres = act.stage.servers.postgres
    with _on_a_small_disk(postgres) as why_not:
        if why_not:
            act.notes.append(f"not tested, mounting a tmpfs is refused here: {why_not}")
            return
        ballast = postgres.directory / "ballast"
        _fill(ballast)
        try:
            until("an error for want of room", lambda: _refuses(postgres))
            until("goald's word that it stands still", lambda: not act.stage.is_ready())
            time.sleep(act.rng.uniform(0, FULL_S))
        finally:
            ballast.unlink()
        act.notes.append("refused" if _answers(postgres) else "Postgres ended itself")
        until("Postgres", lambda: _answers(postgres) or _start(postgres))


@contextmanager
def _on_a_small_disk(postgres: PostgresServer) -> Iterator[str]:
    """Its files on a tmpfs while this lasts, then where they were. Why not, where it cannot."""
    directory = postgres.directory
    aside = directory.with_name("postgres-aside")
    size = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    postgres.stop()
    directory.rename(aside)
    directory.mkdir(mode=0o700)
    shutil.copystat(aside, directory)
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size + ROOM_BYTES},mode=0700", "none", directory],
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
    """What is in a directory into another that is empty or not there, with owners and rights."""
    target.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["cp", "-a", f"{source}/.", f"{target}/"], check=True)


def _fill(ballast: Path) -> None:
    """Take all room that is left."""
    block = bytes(1 << 16)
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(block)
        except OSError:
            return


def _refuses(postgres: PostgresServer) -> bool:
    """Whether it has no room even for a small table, or is gone."""
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
