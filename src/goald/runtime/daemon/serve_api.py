"""`goald api`: the API alone."""

from collections.abc import Callable

import uvloop

from goald import migrations
from goald.api.app import create_app
from goald.domain.connection_failure import explained
from goald.migrations.roles import API
from goald.runtime.garbage_collection import collect_garbage_rarely
from goald.runtime.http.listen_socket import api_socket
from goald.runtime.http.server import API_GC_THRESHOLD, ApiServer, run_until_signal
from goald.runtime.wiring.api import api_dependencies, connection_limits
from goald.settings import Settings


def serve_api(settings: Settings, *, ready: Callable[[str], None]) -> int:
    """Serve the API until SIGTERM or SIGINT, then answer the requests in progress and return 0,
    within 10 s. Calls `ready` with the URL when requests are accepted.

    Blocks, on the main thread. Raises GoaldError if it cannot start: SettingsError if the
    settings do not say how to check tokens or Postgres rejects the login, SchemaMismatch if the
    schema has another revision.
    """
    dependencies = api_dependencies(settings)
    dsn = settings.postgres.api_dsn
    setting = "GOALD_POSTGRES_API_DSN" if settings.postgres_api_dsn else "GOALD_POSTGRES_DSN"
    with explained("Postgres", dsn, setting):
        migrations.check(dsn, API)
    with api_socket(settings) as (listen_socket, url):
        limits = connection_limits(settings.api)
        server = ApiServer(create_app(dependencies), listen_socket, limits)
        collect_garbage_rarely(API_GC_THRESHOLD)
        return uvloop.run(run_until_signal(server, lambda: ready(url)))
