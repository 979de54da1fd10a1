"""The changes in Redis, in its order: its append-only file, read while it is written.

A script is in the file as the commands that it executed, so the file shows each gate that was
registered, passed, closed or finished, each exit that was published, and in which order. That order
needs no clock.
"""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from tests.fault.executions.evidence import Job, Passage, RedisHistory

from goald.redis_keys import EXITS, GATES, action_stream

_PAUSE_S: Final = 0.2
_CHUNK: Final = 4 << 20
_JOBS: Final = action_stream("webhook").encode()
_EXITS: Final = EXITS.encode()
_GATES: Final = GATES.encode()
_INTERESTING: Final = frozenset({b"XADD", b"XCLAIM", b"HSET", b"HDEL", b"FLUSHALL"})

Command = list[bytes]


class RedisLog:
    """Follows the append-only file of a server in a thread, between `start` and `stop`."""

    def __init__(self, directory: Path) -> None:
        """`directory`: that of the server. The existing commands are not read."""
        self._directory = directory / "appendonlydir"
        self.history = RedisHistory()
        self._reader = HistoryReader(self.history)
        self._path: Path | None = self._files()[-1]
        self._offset = self._path.stat().st_size
        self._rest = b""
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="redis-log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Read the rest, and stop."""
        self._stopped.set()
        self._thread.join()
        self.drain()

    def drain(self) -> None:
        """Read everything that was written. Raises what the thread raised."""
        if self._failure is not None:
            raise self._failure
        with self._lock:
            while self._read():
                pass

    def cut(self) -> None:
        """The server was killed: read the rest, and leave an incomplete command to the server,
        which cuts it off when it starts."""
        self.drain()
        with self._lock:
            self._offset -= len(self._rest)
            self._rest = b""

    def replace(self, empty: Callable[[], None]) -> None:
        """The server was killed: read the rest, remove its files with `empty`, and read the new
        ones from their beginning."""
        self.drain()
        with self._lock:
            empty()
            self._path, self._offset, self._rest = None, 0, b""
            self._reader.lose()

    def _run(self) -> None:
        try:
            while not self._stopped.wait(_PAUSE_S):
                with self._lock:
                    while self._read():
                        pass
        except BaseException as error:  # `drain` raises it
            self._failure = error

    def _files(self) -> list[Path]:
        return sorted(
            self._directory.glob("*.incr.aof"), key=lambda path: int(path.name.split(".")[-3])
        )

    def _read(self) -> bool:
        """Read a part. Returns whether there may be more."""
        files = self._files() if self._directory.exists() else []
        if self._path is None and files:
            self._path = files[0]
        if self._path is None:
            return False
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read(_CHUNK)
        self._offset += len(data)
        if data:
            self._rest = self._reader.feed(self._rest + data)
            return True
        later = files[files.index(self._path) + 1 :] if self._path in files else files
        if later:  # the log was rewritten
            self._path, self._offset, self._rest = later[0], 0, b""
        return bool(later)


class HistoryReader:
    """Adds the commands of an append-only file to a history."""

    def __init__(self, history: RedisHistory) -> None:
        self._history = history
        self._states: dict[bytes, bytes] = {}
        """The values of the gates that are open or passed."""
        self._entries: dict[bytes, bytes] = {}
        """The gate of each job's entry."""
        self._workers: dict[bytes, str] = {}
        """The worker that has a gate's job."""

    def feed(self, data: bytes) -> bytes:
        """Take the complete commands. Returns the rest."""
        last = 0
        for end, command in commands(data):
            last = end
            if command[0].upper() in _INTERESTING:
                self._history.position += 1
                self._take(command)
        return data[last:]

    def lose(self) -> None:
        """Redis lost all data."""
        self._states.clear()
        self._history.lose()

    def _take(self, command: Command) -> None:
        name, key = command[0].upper(), command[1] if len(command) > 1 else b""
        if name == b"FLUSHALL":
            self.lose()
        elif name == b"HSET" and key == _GATES:
            for gate, value in zip(command[2::2], command[3::2], strict=True):
                self._set(gate, value)
        elif name == b"HDEL" and key == _GATES:
            for gate in command[2:]:
                self._end(gate)
        elif name == b"XADD" and key == _JOBS:
            fields = dict(zip(command[3::2], command[4::2], strict=True))
            self._entries[command[2]] = fields[b"gate"]
            self._history.add_job(fields[b"gate"].decode(), _job(json.loads(fields[b"event"])))
        elif name == b"XADD" and key == _EXITS:
            fields = dict(zip(command[3::2], command[4::2], strict=True))
            self._history.add_exit(json.loads(fields[b"event"]))
        elif name == b"XCLAIM" and key == _JOBS and command[5] in self._entries:
            self._workers[self._entries[command[5]]] = command[3].decode()

    def _set(self, gate: bytes, value: bytes) -> None:
        before = self._states.get(gate)
        self._states[gate] = value
        state, token = value[:1], value[27:43]
        if state == b"c" and before is not None and before[:1] == b"p":
            self._history.close(gate.decode())
        if state == b"p" and (before is None or before[:1] == b"o" or before[27:43] != token):
            passage = Passage(
                self._history.position, int(value[14:27]), self._workers.get(gate, "")
            )
            self._history.add_passage(gate.decode(), passage)
        elif state == b"o" and before is not None and before[:1] != b"o":
            self._history.return_gate(gate.decode())

    def _end(self, gate: bytes) -> None:
        value = self._states.pop(gate, None)
        if value is not None:
            self._history.end(gate.decode(), was_passed=value[:1] != b"o")


def commands(data: bytes) -> Iterator[tuple[int, Command]]:
    """The complete commands, each with the end of the part that is read: that of a transaction is
    the end of its EXEC, because Redis cuts an incomplete transaction off."""
    at = 0
    queued: list[Command] | None = None
    while True:
        parsed = _parse(data, at)
        if parsed is None:
            return
        at, command = parsed
        name = command[0].upper()
        if name == b"MULTI":
            queued = []
        elif name == b"EXEC":
            for each in queued or ():
                yield at, each
            yield at, command
            queued = None
        elif queued is not None:
            queued.append(command)
        else:
            yield at, command


def _parse(data: bytes, at: int) -> tuple[int, Command] | None:
    """The command at a place, and its end. None if it is incomplete."""
    end = data.find(b"\r\n", at)
    if end < 0:
        return None
    assert data[at : at + 1] == b"*", data[at : at + 40]
    command, count, at = [], int(data[at + 1 : end]), end + 2
    for _ in range(count):
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        first = end + 2
        at = first + int(data[at + 1 : end]) + 2
        if at > len(data):
            return None
        command.append(data[first : at - 2])
    return at, command


def _job(event: dict[str, Any]) -> Job:
    data = event["data"]
    execution = event["tenantid"], data["execution_id"]
    return Job(execution, data["step_id"], data["attempt"], data["idempotency_key"])
