"""Keeps the e-mails of the demo from filling the disk."""

import asyncio
import contextlib
from pathlib import Path
from typing import Final

from goald.runtime.demo.trials import MAIL_DOMAIN

KEPT: Final = 500
PERIOD_S: Final = 30.0


async def keep_newest_mail(directory: Path, stop: asyncio.Event) -> None:
    """Delete the demo's e-mails in this directory except the newest, every 30 s until `stop` is
    set."""
    while not stop.is_set():
        await asyncio.to_thread(delete_old_mail, directory, KEPT)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), PERIOD_S)


def delete_old_mail(directory: Path, kept: int) -> None:
    """Delete the e-mails to contacts of the demo except those that are among the newest `kept` of
    the directory. Files that cannot be read or deleted stay. Blocks."""
    ages: list[tuple[float, Path]] = []
    for path in directory.glob("*.eml"):
        with contextlib.suppress(OSError):
            ages.append((path.stat().st_mtime, path))
    for _, path in sorted(ages, reverse=True)[kept:]:
        with contextlib.suppress(OSError):
            if _is_to_the_demo(path):
                path.unlink()


def _is_to_the_demo(path: Path) -> bool:
    with path.open("rb") as file:
        headers, _, _ = file.read(2_048).partition(b"\r\n\r\n")
    return f"@{MAIL_DOMAIN}\r\n".encode() in headers + b"\r\n"
