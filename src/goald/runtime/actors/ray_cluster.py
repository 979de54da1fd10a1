"""Ray: one of our own on this machine, closed to others, or a cluster that is there."""

import contextlib
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import structlog

from goald.domain.errors import RayEnded, StartError

_log = structlog.get_logger("goald.ray")

OBJECT_STORE_BYTES = 80 << 20
LONGEST_TEMP_DIR = 43
"""Ray puts Unix sockets under it, whose paths are short."""
LONGEST_MESSAGE = 500
"""Of what Ray prints: of a raylet that ended it prints the log too."""

_ENVIRONMENT: Mapping[str, str] = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # listens on the loopback address alone
    "AUTOSCALER_METRIC_PORT": "0",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_worker_niceness": "0",  # actors are the work, not a side job
}
_VITAL = {"raylet", "gcs_server"}
"""Without these, what dies is not started again. The others only watch and log."""


class RayCluster:
    """A connection to Ray, and the node that it started, if it did."""

    def __init__(self, temp_dir: Path, address: str | None) -> None:
        """`temp_dir`: where a Ray of our own keeps its sockets and logs; what an earlier run
        left there is removed. `address`: a cluster to join instead."""
        self._temp_dir = temp_dir
        self._token = temp_dir.with_name(f"{temp_dir.name}-token")
        self._address = address
        self._began = False
        self._processes: list[Any] = []

    def start(self, record: Callable[[str, int], None]) -> None:
        """Start or join; blocks for 3 s or so, on the main thread. `record` is told the role
        and process id of each process started. Raises StartError."""
        os.environ.update(_ENVIRONMENT)
        if self._address is None:
            self._ask_for_a_token()
        import ray

        self._began = True
        try:
            if self._address is not None:
                ray.init(address=self._address, log_to_driver=False, logging_level=logging.ERROR)
                return
            if len(str(self._temp_dir)) > LONGEST_TEMP_DIR:
                raise StartError(
                    f"{self._temp_dir} is too long for Ray's sockets: at most "
                    f"{LONGEST_TEMP_DIR} characters; set TMPDIR to a shorter directory"
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
            raise StartError(f"Ray could not be started: {error}") from error
        self._record_processes(record)
        _take_over_messages()

    def check(self) -> None:
        """Raise RayEnded where Ray can no longer start again what dies. To be called now and
        then: it also takes notice of ended processes, without which actors live on under a
        raylet that is gone."""
        from ray._private import worker

        node = worker._global_node  # the only place that knows: there is no call for it
        if self._address is not None or node is None:
            return
        ended = sorted({name for name, _ in node.dead_processes()} & _VITAL)
        if ended:
            raise RayEnded(f"Ray's {' and '.join(ended)} ended by itself")

    def restart(self, record: Callable[[str, int], None], why: str) -> None:
        """Stop it, with every actor, and start it anew; blocks for 5 s or so, on the main
        thread. Raises StartError where it is not ours to start."""
        if self._address is not None:
            raise StartError(f"{why}; whoever started the Ray at {self._address} is to see to it")
        self._end()
        self.start(record)

    def kill(self) -> None:
        """End all of it at once, actors too; for when this process ends in the same moment."""
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if any("ray" in part for part in process.cmdline()[:3]):
                    process.kill()

    def stop(self) -> None:
        """End what was started, if anything. Blocks for a second or so."""
        if self._began:  # a signal may have cut the import off, and it cannot be had again
            self._end()
        self._token.unlink(missing_ok=True)

    def _end(self) -> None:
        import ray

        ray.shutdown()
        for process in self._processes:  # those of a raylet that was killed stay for a minute
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._processes.clear()
        if self._address is None:
            shutil.rmtree(self._temp_dir, ignore_errors=True)

    def _ask_for_a_token(self) -> None:
        """Have Ray refuse whoever cannot read a file that is ours alone: a user of this machine
        who reached its ports could run any code as us."""
        self._token.unlink(missing_ok=True)
        with os.fdopen(
            os.open(self._token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w"
        ) as to:
            to.write(secrets.token_hex(32))
        os.environ.pop("RAY_AUTH_TOKEN", None)  # it would win over the file
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(self._token)
        from ray import _raylet

        core: Any = _raylet  # compiled, and not told of in types
        core.Config.initialize("")  # both remember what they read at the import, or for another
        core.AuthenticationTokenLoader.instance().reset_cache()

    def _record_processes(self, record: Callable[[str, int], None]) -> None:
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if any("ray" in part for part in child.cmdline()[:3]):
                    self._processes.append(child)
                    record("ray", child.pid)


def _take_over_messages() -> None:
    """Have what Ray prints on our standard output, a paragraph for each actor that died, come
    to our log instead. There is no setting for it."""
    from ray._private import worker

    def log_lines(data: Any, ignore_prefix: bool) -> None:
        for line in data["lines"]:
            _log.info("ray", message=str(line)[:LONGEST_MESSAGE])

    worker.print_to_stdstream = log_lines
