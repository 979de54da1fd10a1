"""The file in which a process of a benchmark records what happened, and when.

A record is the number of an execution, a step (0: it was triggered), and a time on the monotonic
clock, which all processes of a machine share. Imports only the standard library, because the
processes of other products run in separate environments.
"""

import asyncio
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_RECORD = struct.Struct("<iid")
_FLUSH_S = 0.2
TRIGGERED = 0


class Call(NamedTuple):
    """A step of an execution was called, or the execution was triggered."""

    execution: int
    step: int
    at: float


class CallRecorder:
    """Appends records to a file, in one write every 0.2 s."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._records = bytearray()

    def record(self, execution: int, step: int) -> None:
        """It happens now. May be called by any thread."""
        self._records += _RECORD.pack(execution, step, time.monotonic())

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(_FLUSH_S)
            self.flush()

    def flush(self) -> None:
        """Write what was recorded."""
        records, self._records = self._records, bytearray()
        self._file.write(records)
        self._file.flush()


def read_calls(path: Path) -> Iterator[Call]:
    """The records of a file."""
    content = path.read_bytes()
    whole = len(content) // _RECORD.size * _RECORD.size
    return (Call(*fields) for fields in _RECORD.iter_unpack(content[:whole]))
