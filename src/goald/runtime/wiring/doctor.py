"""`goald doctor` over Redis and Postgres, and the keys of the settings."""

from collections.abc import AsyncIterator

from goald.adapters.redis.server_inspector import RedisServerInspector
from goald.runtime.doctor.check import DoctorCheck
from goald.runtime.doctor.diagnosis import examine
from goald.runtime.wiring.secrets import keyring, missing_keys
from goald.settings import Settings


def diagnose(settings: Settings) -> AsyncIterator[DoctorCheck]:
    """The checks of `goald.runtime.doctor.diagnosis.examine`."""
    return examine(settings, RedisServerInspector, keyring, missing_keys)
