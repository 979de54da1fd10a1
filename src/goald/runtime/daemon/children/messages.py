"""The messages from the driver to a child process over a pipe: lines of JSON. A closed pipe means
that the driver has ended."""

import asyncio
import json
import sys
from typing import Any, Final

from pydantic import SecretStr

from goald.runtime.daemon.children import signs
from goald.settings import Settings

MAX_LINE_BYTES: Final = 1 << 16


def line_of(**fields: Any) -> bytes:
    """A message with these fields, which may contain secrets."""
    return json.dumps(fields, default=_plain).encode() + b"\n"


def settings_map(settings: Settings) -> dict[str, Any]:
    """The settings as a field of a message: with the addresses and the secrets of embedded
    services. `Settings(**fields)` is the inverse."""
    return {name: getattr(settings, name) for name in type(settings).model_fields}


async def standard_input() -> asyncio.StreamReader:
    """The messages to this process."""
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    return reader


async def show_life() -> None:
    """Show the driver every second that the event loop runs, until cancelled."""
    while True:
        signs.send(signs.ALIVE)
        await asyncio.sleep(signs.SIGN_SECONDS)


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
