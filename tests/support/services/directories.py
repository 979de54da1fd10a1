"""Where the tests' services keep their files.

In memory where the machine has plenty of it: a database for each test is made and dropped
some thousand times, and most of that time is the disk's. What a kill -9 leaves is the same
there; only a loss of power would tell the two apart, and no test has one.
"""

import shutil
import tempfile
from pathlib import Path

import psutil

_IN_MEMORY = Path("/dev/shm")
_ON_DISK = Path("/tmp")
"""Not TMPDIR: the paths of sockets must stay short."""
_ROOM_BYTES = 6 << 30
_MEMORY_BYTES = 12 << 30
"""For all the services of all the workers at once, and as much again for everybody else."""


def new_room() -> Path:
    """A new, empty directory with a short path; to be removed by who asked for it."""
    return Path(tempfile.mkdtemp(prefix="goald-", dir=_IN_MEMORY if _is_roomy() else _ON_DISK))


def _is_roomy() -> bool:
    try:
        free = shutil.disk_usage(_IN_MEMORY).free
    except OSError:
        return False
    return free >= _ROOM_BYTES and psutil.virtual_memory().available >= _MEMORY_BYTES
