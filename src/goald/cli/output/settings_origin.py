"""Where each setting's value comes from: a default, a variable, or the file."""

import os
import tomllib
from pathlib import Path

from goald.settings import FILE, PREFIX, Settings


def origins() -> dict[str, str]:
    """By the setting's name. Reads the environment and the file, as `load_settings` does,
    which is to have succeeded before."""
    variables = {name.upper() for name in os.environ}
    file = Path(os.environ.get("GOALD_CONFIG", FILE))
    in_file = tomllib.loads(file.read_text()) if file.is_file() else {}
    return {name: _origin(name, variables, file, set(in_file)) for name in Settings.model_fields}


def _origin(name: str, variables: set[str], file: Path, in_file: set[str]) -> str:
    variable = PREFIX + name.upper()
    if variable in variables:
        return "variable"
    return f"file {file}" if name in in_file else "default"
