"""The message from the driver to a worker process."""

import json
from dataclasses import dataclass

from goald.runtime.daemon.children.messages import line_of, settings_map
from goald.settings import Settings


@dataclass(frozen=True, slots=True)
class WorkerStart:
    """The only line to the process."""

    settings: Settings
    """With the addresses and the secrets of embedded services."""
    index: int
    own_urls: tuple[str, ...]
    log_dir: str | None

    def encode(self) -> bytes:
        return line_of(
            settings=settings_map(self.settings),
            index=self.index,
            own_urls=self.own_urls,
            log_dir=self.log_dir,
        )

    @classmethod
    def decode(cls, line: bytes) -> "WorkerStart":
        fields = json.loads(line)
        settings = Settings(**fields["settings"])
        return cls(settings, int(fields["index"]), tuple(fields["own_urls"]), fields["log_dir"])
