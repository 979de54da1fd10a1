"""Ray: a private single-node cluster on this machine, or an existing cluster."""

import contextlib
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import psutil
import structlog

from goald.domain.errors import RayEnded, StartError

_log = structlog.get_logger("goald.ray")

OBJECT_STORE_BYTES = 80 << 20
LONGEST_TEMP_DIR = 43
"""Characters. Ray creates Unix sockets below it, and the system limits their paths."""
LONGEST_MESSAGE = 500
"""Characters kept of a line that Ray prints; it prints whole logs of a dead raylet."""

_ENVIRONMENT: Mapping[str, str] = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # listen on the loopback address only
    "AUTOSCALER_METRIC_PORT": "0",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_worker_niceness": "0",  # Ray starts workers with a lower priority by default
}
_VITAL = {"raylet", "gcs_server"}
"""Without these processes Ray restarts nothing. The others only monitor and log."""


class RayCluster:
    """A connection to Ray, and the node of a private cluster."""

    def __init__(self, temp_dir: Path, address: str | None) -> None:
        """`temp_dir`: where a private cluster keeps its sockets and logs; files of an earlier run
        are removed. `address`: an existing cluster to join instead."""
        self._temp_dir = temp_dir
        self._token = temp_dir.with_name(f"{temp_dir.name}-token")
        self._address = address
        self._was_started = False
        self._processes: list[Any] = []

    def start(self, record: Callable[[str, int], None]) -> None:
        """Start the private cluster, or join the existing one. Blocks for about 3 s; must run on
        the main thread. Calls `record` with the role and id of each process started. Raises
        StartError."""
        os.environ.update(_ENVIRONMENT)
        if self._address is None:
            self._require_token()
        import ray

        self._was_started = True
        try:
            if self._address is not None:
                ray.init(address=self._address, log_to_driver=False, logging_level=logging.ERROR)
                return
            if len(str(self._temp_dir)) > LONGEST_TEMP_DIR:
                raise StartError(
                    f"Cannot start Ray: the path {self._temp_dir} has more than "
                    f"{LONGEST_TEMP_DIR} characters, too long for Ray's Unix sockets. "
                    "Set TMPDIR to a shorter directory."
                )
            shutil.rmtree(self._temp_dir, ignore_errors=True)
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=OBJECT_STORE_BYTES,
                _temp_dir=str(self._temp_dir),
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise StartError(f"Cannot start Ray: {error}") from error
        self._record_processes(record)
        _redirect_messages()

    def check(self) -> None:
        """Raise RayEnded if Ray can no longer restart actors. Must be called regularly: it also
        reaps ended processes, without which actors outlive their raylet."""
        from ray._private import worker

        node = worker._global_node  # there is no public API for this
        if self._address is not None or node is None:
            return
        ended = sorted({name for name, _ in node.dead_processes()} & _VITAL)
        if ended:
            raise RayEnded(f"Ray's {' and '.join(ended)} ended unexpectedly")

    def restart(self, record: Callable[[str, int], None], reason: str) -> None:
        """Stop the private cluster with all actors, and start it again. Blocks for about 5 s;
        must run on the main thread. Raises StartError for an existing cluster."""
        if self._address is not None:
            raise StartError(
                f"{reason}. goald does not restart the Ray cluster at {self._address}, because it "
                "did not start it. Check that cluster, then restart goald."
            )
        self._end()
        self.start(record)

    def kill(self) -> None:
        """Kill all Ray processes of this machine's cluster, with the actors. For a process that
        exits immediately afterwards."""
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if _part_of_ray(process.cmdline()):
                    process.kill()

    def stop(self) -> None:
        """Stop everything that was started. Blocks for about 1 s."""
        if (
            self._was_started
        ):  # a signal may have interrupted the import of Ray, which cannot be repeated
            self._end()
        self._token.unlink(missing_ok=True)

    def _end(self) -> None:
        import ray

        ray.shutdown()
        for process in self._processes:  # workers outlive a killed raylet by a minute
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._processes.clear()
        if self._address is None:
            shutil.rmtree(self._temp_dir, ignore_errors=True)

    def _require_token(self) -> None:
        """Make Ray require a token from a file that only this user can read. Without it, any user
        of this machine who can connect to Ray's ports could run code as this user."""
        self._token.unlink(missing_ok=True)
        with os.fdopen(
            os.open(self._token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w"
        ) as to:
            to.write(secrets.token_hex(32))
        os.environ.pop("RAY_AUTH_TOKEN", None)  # takes precedence over the file
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(self._token)
        from ray import _raylet

        core: Any = _raylet  # compiled, without type information
        core.Config.initialize("")  # both cache what they read earlier
        core.AuthenticationTokenLoader.instance().reset_cache()

    def _record_processes(self, record: Callable[[str, int], None]) -> None:
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if part := _part_of_ray(child.cmdline()):
                    self._processes.append(child)
                    record(f"ray::{part}", child.pid)


def _part_of_ray(command: Sequence[str]) -> str | None:
    """Which part of Ray a command line is, such as `raylet`; None if it is none. A process that
    names itself has the name in the first word: `ray::DashboardAgent`."""
    words = [word for word in command[:3] if "ray" in word and not word.startswith("-")]
    return PurePath(words[-1].rpartition("::")[2]).stem if words else None


def _redirect_messages() -> None:
    """Send the messages that Ray prints to standard output, such as a paragraph for each actor
    that died, to the log instead. Ray has no setting for this."""
    from ray._private import worker

    def log_lines(data: Any, ignore_prefix: bool) -> None:
        for line in data["lines"]:
            _log.info("ray", message=str(line)[:LONGEST_MESSAGE])

    worker.print_to_stdstream = log_lines
