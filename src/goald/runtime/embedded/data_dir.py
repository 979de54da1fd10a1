"""The data directory of one goald, and the lock on it."""

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
"""The longest path of a Unix socket."""
_LONGEST_SOCKET_NAME = "/.s.PGSQL.5432"

_log = structlog.get_logger("goald.embedded")


class DataDirectory:
    """A data directory that no other goald uses until `close`.

    `path` is absolute and has no symbolic links. `run` has the files of this run, `logs` the
    servers' logs. `short` is a private directory in the system's temporary directory, whose path
    is short enough for Unix sockets; it is empty at the start of each run, and `close` removes it.
    `record` stores every process that is started.
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
        """Create the directory if it is missing, lock it, and end the processes of an earlier
        run, which may block for some seconds.

        Raises StartError if the path is not a directory or not writable, if the disk is full, or
        if another goald uses it (its process id is in the message).
        """
        path = path.expanduser().resolve()
        try:
            for directory in (path, path / "run", path / "logs"):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = _take_lock(path)
        except OSError as error:
            raise StartError(_error_text(path, error)) from error
        try:
            data = cls(path, lock)
            for process in data.record.end_all():
                _log.warning(
                    "ended a process of an earlier run", role=process.role, pid=process.pid
                )
            shutil.rmtree(data.short)
            data.short.mkdir(mode=0o700)
        except OSError as error:
            os.close(lock)
            raise StartError(_error_text(path, error)) from error
        except BaseException:
            os.close(lock)
            raise
        return data

    def close(self) -> None:
        """Unlock the directory. Ends the recorded processes that still run."""
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
            "Stop that goald, or use another directory with --data-dir."
        ) from error
    except OSError:
        os.close(lock)
        raise
    return lock


def _pid_in(lock: int) -> int:
    text = os.pread(lock, 32, 0).decode(errors="replace").strip()
    return int(text) if text.isdigit() else 0


def _error_text(path: Path, error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"Cannot use the data directory {path}: {reason} ({error.filename or path})."


def short_directory(path: Path) -> Path:
    """The directory for the sockets of this data directory, created if it is missing.

    Its name is derived from `path`, so it is the same in every run. Raises StartError if another
    user has created a file or directory of that name.
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
                f"Cannot keep sockets in {directory}: it is not a directory that only this user "
                "can read and write. Remove it."
            ) from None
    return directory
