"""Valkey and Postgres servers under a data directory, for `goald serve --embedded`.

    data = DataDirectory.open(path)        # locks it, ends processes of an earlier run
    services = EmbeddedServices(data)
    endpoints = services.start()           # both accept connections
    ...
    services.stop()
    data.close()

All functions block, and `EmbeddedServices.start` must run on the main thread.
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
