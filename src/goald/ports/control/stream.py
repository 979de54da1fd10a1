"""The control stream, which announces changed configurations (E10).

Every coroutine may raise `ServiceUnavailable` if the server is unreachable (D6).
"""

from typing import Protocol


class ControlStream(Protocol):
    """Waits for announcements on the control stream."""

    async def wait(self, seconds: float) -> None:
        """Block until something was published since the last call returned, or for at most
        `seconds`. Nothing published between two calls is missed.

        The first call, and the first call after an error, return immediately. The caller must
        then read the configuration, because earlier messages may be missed.
        """

    async def close(self) -> None:
        """Close the connection."""
