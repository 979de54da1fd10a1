"""Installs the other products, each into a separate environment, once."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

DIRECTORY = Path(sys.prefix) / "bench-peers"
"""Removed by `make clean`."""
TEMPORAL = "github.com/temporalio/cli/cmd/temporal@v1.5.1"
"""The newest version of the development server that `go install` accepts: the modules of later ones
have replacements. Go compares it with its checksum database."""
_TIMEOUT_S = 900


class NotInstalled(Exception):
    """A product cannot be installed here. The text says why."""


@dataclass(frozen=True)
class Peer:
    """Another product."""

    name: str
    durable: bool = True
    """Whether it stores its state on the disk, as goald does."""

    @property
    def python(self) -> Path:
        return DIRECTORY / self.name / "bin" / "python"

    @property
    def module(self) -> str:
        """The program that runs the flow."""
        return f"bench.peers.{self.name}_flow"


PEERS = (
    Peer("dbos"),
    Peer("procrastinate"),
    Peer("pgqueuer"),
    Peer("temporal", durable=False),
)


def install(peer: Peer) -> None:
    """Create the environment of a product, unless it exists with the same versions. Blocks for some
    seconds, for Temporal's server for some minutes. Raises NotInstalled."""
    requirements = Path(__file__).with_name(f"requirements-{peer.name}.txt")
    installed = DIRECTORY / peer.name / "requirements.txt"
    if not installed.exists() or installed.read_bytes() != requirements.read_bytes():
        print(f"installing {peer.name}, once...", file=sys.stderr)
        shutil.rmtree(installed.parent, ignore_errors=True)
        _run(sys.executable, "-m", "venv", str(installed.parent))
        _run(
            *(str(peer.python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"),
            *("--no-input", "--retries", "1", "--require-hashes", "--only-binary", ":all:"),
            *("-r", str(requirements)),
        )
        shutil.copy(requirements, installed)
    if peer.name == "temporal":
        temporal_server()


def temporal_server() -> Path:
    """Temporal's development server, built from source if it is missing. Raises NotInstalled."""
    directory = DIRECTORY / TEMPORAL.rpartition("@")[2]
    server = directory / "temporal"
    if not server.exists():
        if shutil.which("go") is None:
            raise NotInstalled("Temporal's server needs Go, which is not installed")
        print("building Temporal's server, once (some minutes)...", file=sys.stderr)
        _run("go", "install", TEMPORAL, GOBIN=str(directory))
    return server


def _run(*command: str, **environment: str) -> None:
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            env=os.environ | environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        reason = next((line for line in lines if line.startswith("ERROR")), "")
        raise NotInstalled(reason or (lines[-1] if lines else f"exit code {done.returncode}"))
