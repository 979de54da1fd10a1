"""The embedded Valkey and Postgres, started and stopped together."""

import threading
from dataclasses import dataclass
from types import TracebackType

from goald.domain.errors import StartError
from goald.runtime.embedded.data_dir import DataDirectory
from goald.runtime.embedded.identity import Identity
from goald.runtime.embedded.postgres import Postgres
from goald.runtime.embedded.valkey import Valkey


@dataclass(frozen=True)
class EmbeddedEndpoints:
    """The addresses of the embedded servers, all Unix sockets."""

    redis_url: str
    """For `redis.from_url`."""
    postgres_dsn: str
    """The role and database `goald`, for asyncpg and psycopg."""
    postgres_admin_dsn: str
    """The superuser, on database `postgres`: for tests and emergencies, never for the daemon."""


class EmbeddedServices:
    """A private Valkey and Postgres. Confirmed writes survive a kill -9 (D2)."""

    def __init__(self, data: DataDirectory) -> None:
        self._data = data
        self._valkey = Valkey(data)
        self._postgres = Postgres(data, Identity.choose())

    def start(self) -> EmbeddedEndpoints:
        """Start both and return when both accept commands. Blocks for about 1 s the first time
        and 0.3 s later, longer if a long log must be replayed.

        Must be called on the main thread, because the kernel ends the servers when the thread
        that started them ends. Raises StartError with the end of the server's log; no server
        runs then.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("embedded servers must be started on the main thread")
        try:
            self._valkey.start()
            self._postgres.start()
            return EmbeddedEndpoints(
                redis_url=self._valkey.url,
                postgres_dsn=self._postgres.dsn("goald", "goald"),
                postgres_admin_dsn=self._postgres.dsn("postgres", "postgres"),
            )
        except OSError as error:
            self.stop()
            raise StartError(f"Cannot start the embedded servers: {error}") from error
        except BaseException:
            self.stop()
            raise

    def exited(self) -> list[str]:
        """The servers that have ended unexpectedly: `redis`, `postgres`."""
        services = {"redis": self._valkey.server, "postgres": self._postgres.server}
        return [name for name, server in services.items() if server and not server.is_running()]

    def stop(self) -> None:
        """Stop both, Postgres first. May be called again. Blocks for 30 s at most."""
        self._postgres.stop()
        self._valkey.stop()

    def __enter__(self) -> EmbeddedEndpoints:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
