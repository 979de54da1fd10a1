"""The result of one check of `goald doctor`."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class DoctorCheck:
    """One result. `warn` means that goald runs but a guarantee may not hold; `fail` that goald
    cannot run."""

    name: str
    state: State
    text: str
    advice: str = ""


def ok(name: str, text: str, advice: str = "") -> DoctorCheck:
    return DoctorCheck(name, "ok", text, advice)


def warn(name: str, text: str, advice: str) -> DoctorCheck:
    return DoctorCheck(name, "warn", text, advice)


def fail(name: str, text: str, advice: str) -> DoctorCheck:
    return DoctorCheck(name, "fail", text, advice)
