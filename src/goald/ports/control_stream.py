"""The control stream, which says that the configuration has changed.

Times are microseconds since the Unix epoch. Every coroutine may raise `ServiceUnavailable`
when its server cannot be reached or refuses to write (D6).
"""

from typing import Protocol


class ControlStream(Protocol):
    """`goald:control`, which says that a configuration has changed (E10)."""

    async def wait(self, seconds: float) -> None:
        """Return when something was published since the last call returned, at most so long
        after this one began; nothing published between two calls is missed. The first call,
        and the first after an error, return at once: what was published before is to be
        looked for by other means."""

    async def close(self) -> None: ...
