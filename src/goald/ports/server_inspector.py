"""Whether a server is configured as goald's guarantees need it, for `goald doctor`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from goald.ports.stream_admin import StreamLevels


@dataclass(frozen=True, slots=True)
class ServerCheck:
    """One property of a server."""

    name: str
    ok: bool | None
    """None if the server does not report it."""
    found: str
    advice: str
    """The recommended action; empty if there is none."""


class ServerInspector(Protocol):
    """Reads the configuration of one server and changes nothing. Every coroutine may raise
    `ServiceUnavailable`."""

    async def checks(self) -> Sequence[ServerCheck]: ...

    async def time(self) -> float:
        """The server's clock, in seconds since the Unix epoch."""

    async def levels(self) -> StreamLevels:
        """How full the streams and the server are."""

    async def close(self) -> None: ...
