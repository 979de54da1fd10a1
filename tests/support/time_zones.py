"""Time zones from the package tzdata, for Rust and Python."""

from functools import cache
from importlib.resources import files
from io import BytesIO
from zoneinfo import ZoneInfo


@cache
def tzif(name: str) -> bytes:
    """The TZif file of a zone."""
    area, _, place = name.rpartition("/")
    package = ".".join(("tzdata.zoneinfo", *filter(None, area.split("/"))))
    return (files(package) / place).read_bytes()


@cache
def zone(name: str) -> ZoneInfo:
    return ZoneInfo.from_file(BytesIO(tzif(name)), name)
