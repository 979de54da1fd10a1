"""Whether the compiled matcher fits this version of goald."""

from importlib import resources
from typing import Final

from goald.domain.errors import StartError

ADVICE: Final = "run `make ext` in a checkout, or install goald again"


def check_native_build() -> None:
    """Raise StartError if the compiled matcher is missing or of another version. So a checkout that
    was updated and not built again starts no process that would fail at its first event."""
    fault = native_build_fault()
    if fault is not None:
        raise StartError(f"The compiled matcher (goald._native) {fault}: {ADVICE}.")


def native_build_fault() -> str | None:
    """Return what is wrong with the compiled matcher; None if nothing is.

    A build copies the stub `_native.pyi`, which describes the module, into it. This compares the
    copy with the stub of the installed package. Reads one file.
    """
    try:
        from goald import _native
    except Exception as error:  # a broken build may raise anything
        return f"cannot be loaded ({error})"
    expected = (resources.files("goald") / "_native.pyi").read_text("utf-8")
    if getattr(_native, "INTERFACE", None) != expected:
        return "was built for another version of goald"
    return None
