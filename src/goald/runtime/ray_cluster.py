"""Ray: one of our own on this machine, closed to others, or a cluster that is there."""

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from goald.domain.errors import StartError

_log = structlog.get_logger("goald.ray")

OBJECT_STORE_BYTES = 80 << 20
LONGEST_TEMP_DIR = 43
"""Ray puts Unix sockets under it, whose paths are short."""

_ENVIRONMENT: Mapping[str, str] = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # listens on the loopback address alone
    "AUTOSCALER_METRIC_PORT": "0",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_worker_niceness": "0",  # actors are the work, not a side job
}


class RayCluster:
    """A connection to Ray, and the node that it started, if it did."""

    def __init__(self, temp_dir: Path, address: str | None) -> None:
        """`temp_dir`: where a Ray of our own keeps its sockets and logs; what an earlier run
        left there is removed. `address`: a cluster to join instead."""
        self._temp_dir = temp_dir
        self._address = address
        self._began = False

    def start(self, record: Callable[[str, int], None]) -> None:
        """Start or join; blocks for 3 s or so, on the main thread. `record` is told the role
        and process id of each process started. Raises StartError."""
        os.environ.update(_ENVIRONMENT)
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

    def stop(self) -> None:
        """End what was started, if anything. Blocks for a second or so."""
        if not self._began:
            return  # a signal may have cut the import off, and it cannot be had again
        import ray

        ray.shutdown()
        if self._address is None:
            shutil.rmtree(self._temp_dir, ignore_errors=True)

    @staticmethod
    def _record_processes(record: Callable[[str, int], None]) -> None:
        import psutil

        for child in psutil.Process().children(recursive=True):
            with_ray = any("ray" in part for part in child.cmdline()[:3])
            if with_ray:
                record("ray", child.pid)


def _take_over_messages() -> None:
    """Have what Ray prints on our standard output, a paragraph for each actor that died, come
    to our log instead. There is no setting for it."""
    from ray._private import worker

    def log_lines(data: Any, ignore_prefix: bool) -> None:
        for line in data["lines"]:
            _log.info("ray", message=str(line))

    worker.print_to_stdstream = log_lines
