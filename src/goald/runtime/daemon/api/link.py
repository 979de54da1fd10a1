"""The messages from the driver to its API process."""

import json
from dataclasses import asdict, dataclass

from goald.runtime.daemon.children.messages import line_of, settings_map
from goald.settings import Settings


@dataclass(frozen=True, slots=True)
class ApiStart:
    """The first line to the process."""

    settings: Settings
    """With the addresses and the secrets of embedded services."""
    listen_fd: int
    log_dir: str | None

    def encode(self) -> bytes:
        return line_of(
            settings=settings_map(self.settings), listen_fd=self.listen_fd, log_dir=self.log_dir
        )

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
        return line_of(**asdict(self))

    @classmethod
    def decode(cls, line: bytes) -> "DriverState":
        return cls(**json.loads(line))
