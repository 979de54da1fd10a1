"""Times in the bodies of requests."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

from goald.domain.configuration.desired import TimeUs

_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", flags=re.ASCII
)


def _strictly(value: Any) -> Any:
    """None, which is no time, in place of a text that only YAML or ISO 8601 would have."""
    return value.upper() if isinstance(value, str) and _RFC3339.fullmatch(value) else None


StrictTimeUs = Annotated[TimeUs, BeforeValidator(_strictly)]
"""A time as RFC 3339 has it, and as events have to have it: microseconds within."""
