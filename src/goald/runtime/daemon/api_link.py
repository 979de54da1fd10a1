"""The messages between the driver and its API process over two pipes: lines of JSON to the process,
signs of life from it. A closed pipe means that the driver has ended."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from pydantic import SecretStr

from goald.settings import Settings

PREPARED: Final = b"prepared\n"
"""Sent once, when the process waits for the first state of the driver to serve, as a spare
process does."""
READY: Final = b"ready\n"
"""Sent once, when requests are accepted."""
ALIVE: Final = b".\n"
"""Sent every second from then on."""
MAX_LINE_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class ApiStart:
    """The first line to the process."""

    settings: Settings
    """With the addresses and the secrets of embedded services."""
    listen_fd: int
    log_dir: str | None

    def encode(self) -> bytes:
        values = {name: getattr(self.settings, name) for name in type(self.settings).model_fields}
        fields = {"settings": values, "listen_fd": self.listen_fd, "log_dir": self.log_dir}
        return _line(fields)

    @classmethod
    def decode(cls, line: bytes) -> "ApiStart":
        fields = json.loads(line)
        settings = Settings(**fields["settings"])
        return cls(settings, int(fields["listen_fd"]), fields["log_dir"])


@dataclass(frozen=True, slots=True)
class DriverState:
    """Every further line to the process."""

    not_ready_reason: str | None
    """Why the actors of this instance do not all run; None if they do."""
    standby: bool
    """Whether this instance is not the active one, which sends the heartbeats."""

    def encode(self) -> bytes:
        return _line(asdict(self))

    @classmethod
    def decode(cls, line: bytes) -> "DriverState":
        return cls(**json.loads(line))


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, default=_plain).encode() + b"\n"


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
