"""The origin of each setting: a default, a variable, or the file."""

import os
import tomllib
from pathlib import Path

from goald.settings import FILE, PREFIX, Settings


def origins() -> dict[str, str]:
    """Return the origin of the value of each setting, by name. Reads the
    environment and the file; call it after `load_settings` has succeeded."""
    variables = {name.upper() for name in os.environ}
    file = Path(os.environ.get("GOALD_CONFIG", FILE))
    file_settings = tomllib.loads(file.read_text()) if file.is_file() else {}
    return {
        name: _origin(name, variables, file, set(file_settings)) for name in Settings.model_fields
    }


def _origin(name: str, variables: set[str], file: Path, file_settings: set[str]) -> str:
    variable = PREFIX + name.upper()
    if variable in variables:
        return "variable"
    return f"file {file}" if name in file_settings else "default"
