"""One thing that `goald doctor` looked at."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class DoctorCheck:
    """What was found. `warn` means that goald runs but a promise may not hold; `fail` that it
    does not run."""

    name: str
    state: State
    text: str
    advice: str = ""


def ok(name: str, text: str) -> DoctorCheck:
    return DoctorCheck(name, "ok", text)


def warn(name: str, text: str, advice: str) -> DoctorCheck:
    return DoctorCheck(name, "warn", text, advice)


def fail(name: str, text: str, advice: str) -> DoctorCheck:
    return DoctorCheck(name, "fail", text, advice)
