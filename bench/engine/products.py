"""The products that run the flow: what must be started for each, and its processes."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import asyncpg

from bench.engine.goald_flow import ACTION, TENANTS
from bench.load import Daemon
from bench.peers.install import Peer, install, temporal_server
from bench.stage import Stage
from goald.configuration.file import parse_configuration
from goald.runtime.wiring.daemon import configuration_service

ROOT = Path(__file__).parents[2]
_READY_S = 60.0

DEFINITIONS = f"""\
tenant: {{tenant}}
workflows:
  - id: full
    name: Full
    active: true
    goals: [{{{{goal_type: purchase_made, criteria: {{{{any_purchase: true}}}}}}}}]
    trigger: {{{{on: form_submitted, criteria: {{{{form_id: full}}}}}}}}
    steps:
      - {{{{id: first, action: {ACTION}, with: {{{{}}}}}}}}
      - {{{{id: pause, wait: {{{{for: 1s}}}}}}}}
      - {{{{id: second, action: {ACTION}, with: {{{{}}}}}}}}
  - id: timer
    name: Timer
    active: true
    goals: [{{{{goal_type: purchase_made, criteria: {{{{any_purchase: true}}}}}}}}]
    trigger: {{{{on: form_submitted, criteria: {{{{form_id: timer}}}}}}}}
    steps:
      - {{{{id: pause, wait: {{{{for: 1s}}}}}}}}
      - {{{{id: second, action: {ACTION}, with: {{{{}}}}}}}}
"""


class Program(NamedTuple):
    """A process that follows the protocol of `bench.peers.flow`."""

    python: str
    module: str
    triggers: bool


class Running(NamedTuple):
    """A product that has been started."""

    dsn: str
    programs: tuple[Program, ...]


@contextmanager
def goald(directory: Path) -> Iterator[Running]:
    """`goald serve --embedded` with the workflows of TENANTS tenants, one publisher, and one worker
    process whose handler records when it is called."""
    daemon = Daemon(directory / "data")
    try:
        found = daemon.status()
        asyncio.run(_configure(found["postgres_dsn"]))
        daemon.status()
        module = "bench.engine.goald_flow"
        worker, publisher = (Program(sys.executable, module, each) for each in (False, True))
        yield Running(found["redis_url"], (worker, publisher))
    finally:
        daemon.stop()


async def _configure(dsn: str) -> None:
    service = configuration_service(dsn)
    try:
        for number in range(TENANTS):
            text = DEFINITIONS.format(tenant=f"bench-{number}")
            await service.apply(parse_configuration(text))
    finally:
        await service.close()


@contextmanager
def peer(chosen: Peer, directory: Path) -> Iterator[Running]:
    """Another product, with the embedded Postgres or, for Temporal, its development server. Raises
    NotInstalled."""
    install(chosen)
    program = Program(str(chosen.python), chosen.module, triggers=True)
    if chosen.name == "temporal":
        with _temporal() as address:
            yield Running(address, (program,))
        return
    with Stage(directory / "data") as stage:
        asyncio.run(_create_database(stage.admin_dsn))
        yield Running(stage.admin_dsn.replace("/goald?", "/peer?"), (program,))


async def _create_database(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("CREATE DATABASE peer")
    finally:
        await connection.close()


@contextmanager
def _temporal() -> Iterator[str]:
    """The address of the server, which has its state in memory: with a file, it is slower."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *(str(temporal_server()), "server", "start-dev", "--headless", "--ip", "127.0.0.1"),
            *("--port", str(port), "--log-level", "never"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + _READY_S
        while not _accepts(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("Temporal's server does not start")
            time.sleep(0.1)
        time.sleep(2.0)  # until the namespace exists
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def _accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
