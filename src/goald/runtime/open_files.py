"""The limit of open files of this process, which also limits its connections."""

import resource
from typing import Final

_FILES: Final = 65_536


def raise_limit() -> int | None:
    """Raise the limit of open files as far as allowed, up to 65,536. Returns the limit; None if
    there is none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    most = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(soft, most)
