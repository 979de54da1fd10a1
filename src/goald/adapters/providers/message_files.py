"""Messages as files, for a goald without a provider of e-mails and text messages."""

import asyncio
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Final

from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import Outcome, OutcomeKind
from goald.domain.errors import StartError
from goald.workers.provider import ActionFailed, Enter

_THREADS: Final = 4


class MessageFiles:
    """A directory with one file for each message. The name is derived from the idempotency key, so
    a repeated call writes the same file. Only this user can read the directory and the files."""

    def __init__(self, directory: Path, suffix: str) -> None:
        """`suffix`: of the names, such as `.eml`."""
        self._directory = directory
        self._suffix = suffix
        self._threads = ThreadPoolExecutor(_THREADS, "message-files")
        """Its own, so that no slow look-up of a host delays a file."""

    async def write(self, job: Job, content: bytes, enter: Enter) -> None:
        """Pass the gate and write a file, which appears complete or not at all. Raises what `enter`
        raises, and ActionFailed if the file cannot be written, as on a full disk."""
        name = sha256(f"{len(job.tenant_id)}:{job.tenant_id}{job.key}".encode()).hexdigest()[:32]
        path = self._directory / f"{name}{self._suffix}"
        await enter()
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._threads, _write, path, content, enter.check)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            text = f"the file of the message cannot be written: {reason}"
            raise ActionFailed(Outcome(OutcomeKind.RETRY, text)) from error

    async def close(self) -> None:
        """Wait for nothing: files in progress are written."""
        self._threads.shutdown(wait=False)


def create_private(directory: Path) -> None:
    """Create a directory, and its parent if that is missing, which only this user can read, and
    check that files can be created in it. Blocks. Raises StartError."""
    try:
        _create(directory)
        probe = directory / f".{secrets.token_hex(8)}.tmp"
        probe.touch(mode=0o600, exist_ok=False)
        probe.unlink()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StartError(
            f"Cannot write the messages of workflows to {directory}: {reason}. Set GOALD_DATA_DIR "
            "to a directory that this user can write to."
        ) from error


def _write(path: Path, content: bytes, check: Callable[[], None]) -> None:
    """`check` is called right before the file appears, and raises if it must not."""
    _create(path.parent)
    temporary = path.with_suffix(f".{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        check()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _create(directory: Path) -> None:
    for each in (directory.parent, directory):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
