"""The directory under which one goald keeps what is its own, and the lock on it."""

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from goald.domain.errors import StartError
from goald.runtime.embedded.processes import ProcessRecord

SOCKET_PATH_BYTES = 107
"""The longest path that a Unix socket may have."""
_LONGEST_SOCKET_NAME = "/.s.PGSQL.5432"

_log = structlog.get_logger("goald.embedded")


class DataDirectory:
    """A data directory that is ours alone until `close`.

    `path` is absolute, without symbolic links. `run` holds what is about this run, `logs` the
    services' logs. `short` is a directory of ours in the system's temporary directory, with a
    path short enough for Unix sockets wherever `path` is; each run finds it empty, and `close`
    removes it with all that is in it. `record` is where to write down every process that is
    started.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self.run = path / "run"
        self.logs = path / "logs"
        self._lock = lock
        self.record = ProcessRecord(self.run / "processes.json")
        self.short = short_directory(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Make the directory where it is missing, lock it, and end what the last run left.

        May block some seconds for that end. StartError where the path is no directory, may
        not be written to, the disk is full, or another goald is using it (named by its pid).
        """
        path = path.expanduser().resolve()
        try:
            for directory in (path, path / "run", path / "logs"):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = _take_lock(path)
        except OSError as error:
            raise StartError(_why_not(path, error)) from error
        try:
            data = cls(path, lock)
            for process in data.record.end_all():
                _log.warning("ended what the last run left", role=process.role, pid=process.pid)
            shutil.rmtree(data.short)
            data.short.mkdir(mode=0o700)
        except OSError as error:
            os.close(lock)
            raise StartError(_why_not(path, error)) from error
        except BaseException:
            os.close(lock)
            raise
        return data

    def close(self) -> None:
        """Give the directory up. Ends what is still recorded as running."""
        self.record.end_all()
        shutil.rmtree(self.short, ignore_errors=True)
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _take_lock(path: Path) -> int:
    lock = os.open(path / "run" / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError as error:
        pid = _pid_in(lock)
        os.close(lock)
        raise StartError(
            f"The data directory {path} is in use by another goald (process {pid}). "
            "Stop that one, or name another directory with --data-dir."
        ) from error
    except OSError:
        os.close(lock)
        raise
    return lock


def _pid_in(lock: int) -> int:
    text = os.pread(lock, 32, 0).decode(errors="replace").strip()
    return int(text) if text.isdigit() else 0


def _why_not(path: Path, error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"The data directory {path} cannot be used: {reason} ({error.filename or path})."


def short_directory(path: Path) -> Path:
    """The directory for sockets that belongs to this data directory, made where missing.

    Its name is derived from `path`, so that every run has the same. StartError where
    somebody else has put something of that name there.
    """
    name = f"goald-{os.geteuid()}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}"
    parents = [Path(tempfile.gettempdir()), Path("/tmp")]  # noqa: S108
    fitting = [
        p / name
        for p in parents
        if len(os.fsencode(p / name)) + len(_LONGEST_SOCKET_NAME) <= SOCKET_PATH_BYTES
    ]
    directory = fitting[0]
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o066:
            raise StartError(
                f"{directory} is not a directory that only this user may read and write. "
                "goald keeps its sockets there: remove it."
            ) from None
    return directory
