"""Time zones. The package tzdata is the only source of their rules in goald, so that all processes
have the same rules on every machine."""

from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from goald.domain.suggestions import nearest


@cache
def zone_names() -> frozenset[str]:
    """Return the names of all zones, such as Europe/Berlin."""
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="ascii").split())


@cache
def zone(name: str) -> ZoneInfo:
    """Return the zone of a name in `zone_names`."""
    if name not in zone_names():
        raise ValueError(not_a_zone(name))
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as rules:
        return ZoneInfo.from_file(rules, key=name)


def not_a_zone(name: str) -> str:
    """Return the message that a name is not that of a zone."""
    suggestion = nearest(name, zone_names())
    hint = f". Did you mean {suggestion}?" if suggestion else ", such as Europe/Berlin"
    return f"must be a time zone of the IANA database{hint}"
