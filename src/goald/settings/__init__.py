"""The settings: `GOALD_*` variables and `goald.toml`, read once at the edge into frozen classes,
one for each concern, that constructors receive.

A variable takes precedence over the file. A wrong or unknown setting raises SettingsError, which
names it, before anything is started.
"""

from goald.settings.concerns import (
    HOW_TO_CHECK_TOKENS,
    ApiSettings,
    DispatchSettings,
    PostgresSettings,
    ReadSettings,
    RedisSettings,
    TokenSettings,
)
from goald.settings.load import NOT_SETTINGS, load_settings
from goald.settings.networks import Network
from goald.settings.variables import FILE, PREFIX, Settings

__all__ = [
    "FILE",
    "HOW_TO_CHECK_TOKENS",
    "NOT_SETTINGS",
    "PREFIX",
    "ApiSettings",
    "DispatchSettings",
    "Network",
    "PostgresSettings",
    "ReadSettings",
    "RedisSettings",
    "Settings",
    "TokenSettings",
    "load_settings",
]
