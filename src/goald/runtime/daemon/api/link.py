"""The messages from the driver to its API process over a pipe: lines of JSON. A closed pipe means
that the driver has ended."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from pydantic import SecretStr

from goald.settings import Settings

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
