"""A real Valkey and a real Postgres under a data directory, for `goald serve --embedded`.

    data = DataDirectory.open(path)        # locks it, ends what the last run left
    services = EmbeddedServices(data)
    endpoints = services.start()           # ready to be connected to
    ...
    services.stop()
    data.close()

Everything here is synchronous, and `EmbeddedServices.start` belongs on the main thread.
"""

from goald.runtime.embedded.data_dir import DataDirectory
from goald.runtime.embedded.processes import ProcessRecord
from goald.runtime.embedded.services import EmbeddedEndpoints, EmbeddedServices

__all__ = [
    "DataDirectory",
    "EmbeddedEndpoints",
    "EmbeddedServices",
    "ProcessRecord",
]
