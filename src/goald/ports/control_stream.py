"""The control stream, which announces changed configurations (E10).

Every coroutine may raise `ServiceUnavailable` if the server is unreachable (D6).
"""

from typing import Protocol


class ControlStream(Protocol):
    """Waits for announcements on the control stream."""

    async def wait(self, seconds: float) -> None:
        """Block until something was published since the last call returned, or for at most
        `seconds`. Nothing published between two calls is missed.

        The first call, and the first call after an error, return at once: the caller must look
        for earlier changes by other means.
        """

    async def close(self) -> None:
        """Close the connection."""
