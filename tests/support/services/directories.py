"""Data directories for the services of the tests.

The directories are in memory if the machine has enough of it, because the tests create and
drop thousands of databases, and disk writes would take most of that time. A process that is
killed leaves the same files on both; only a power failure differs, and no test has one.
"""

import shutil
import tempfile
from pathlib import Path

import psutil

_IN_MEMORY = Path("/dev/shm")
_ON_DISK = Path("/tmp")
"""Not TMPDIR: the paths of sockets must stay short."""
_FREE_BYTES = 6 << 30
_MEMORY_BYTES = 12 << 30
"""For the services of all workers, and the same amount for other processes."""


def new_directory() -> Path:
    """A new, empty directory with a short path. The caller removes it."""
    return Path(
        tempfile.mkdtemp(prefix="goald-", dir=_IN_MEMORY if _has_enough_memory() else _ON_DISK)
    )


def _has_enough_memory() -> bool:
    try:
        free = shutil.disk_usage(_IN_MEMORY).free
    except OSError:
        return False
    return free >= _FREE_BYTES and psutil.virtual_memory().available >= _MEMORY_BYTES
