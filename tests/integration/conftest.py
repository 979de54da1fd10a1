"""A data directory."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from goald.runtime.embedded.data_dir import short_directory


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory whose path is short enough for Unix sockets."""
    path = Path(tempfile.mkdtemp(prefix="goald-"))
    yield path
    shutil.rmtree(short_directory(path), ignore_errors=True)
    shutil.rmtree(path, ignore_errors=True)
