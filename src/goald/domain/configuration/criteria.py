"""Criteria: the conditions that an event must meet to achieve a goal (E2), validated strictly.

A criterion that is null or false is not set and is dropped. Amounts are exact decimals. Unknown
keys are refused, and so is `true` as an amount.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from goald.domain.configuration.goals import CatalogKind, GoalType
from goald.domain.currencies import currency_code
from goald.domain.errors import InvalidConfiguration
from goald.domain.ids import MAX_ID_BYTES, MAX_ID_CHARACTERS, NOT_IN_IDS
from goald.domain.suggestions import unknown_field

EMPTY_CRITERIA = "Goal criteria cannot be empty"
MAX_DIGITS = 18
MATCH = "match"
MATCH_NAMES = 4
MATCH_NAME_PATTERN = "^[A-Za-z0-9_-]{1,64}$"
"""Of the name of a value that enrollments carry and goals compare with events (E17)."""

_AMOUNT = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
_MATCH_NAME = re.compile("[A-Za-z0-9_-]{1,64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def require_printable(text: str) -> str:
    if _CONTROL.search(text):
        raise PydanticCustomError("control_characters", "must not contain control characters")
    return text


def _require_id_characters(text: str) -> str:
    if NOT_IN_IDS.search(text):
        raise PydanticCustomError(
            "id_characters", "must not contain control or invisible characters"
        )
    if len(text.encode()) > MAX_ID_BYTES:
        raise PydanticCustomError("id_bytes", "must have at most 768 bytes in UTF-8")
    return text


def _amount(value: Any) -> Decimal:
    """Parse an exact decimal from an integer, a Decimal or a decimal string: no exponent, no sign,
    at most MAX_DIGITS digits in all and after the point."""
    if isinstance(value, Decimal) and value.is_finite():
        text = format(value, "f")
    else:
        text = str(value) if isinstance(value, str) or type(value) is int else ""
    digits, _, decimals = text.lstrip("0").partition(".")
    if (
        len(text) > MAX_DIGITS * 4
        or not _AMOUNT.fullmatch(text)
        or len((digits + decimals).lstrip("0")) > MAX_DIGITS
        or len(decimals) > MAX_DIGITS
    ):
        raise PydanticCustomError(
            "amount", "must be an amount of at most 18 digits, 0 or more, such as 100 or 99.50"
        )
    return Decimal(text)


def _true(value: Any) -> bool:
    if value is not True:
        raise PydanticCustomError("not_true", "must be true or false")
    return True


def _normalized(value: Any) -> Any:
    """Normalize to NFC, as tag names are compared (E2), so that equal goals have equal criteria."""
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


def _currency(text: str) -> str:
    """Return the code in upper case, so that equal goals have equal criteria."""
    code = currency_code(text)
    if code is None:
        raise PydanticCustomError(
            "currency", "must be an ISO 4217 code of three letters, such as USD or EUR"
        )
    return code


def _match_names(value: Any) -> list[str]:
    """Return the names in order, each once, so that equal goals have equal criteria."""
    if not isinstance(value, list) or not 1 <= len(value) <= MATCH_NAMES:
        raise PydanticCustomError("match_names", "must be a list of 1 to 4 names")
    for name in value:
        if not isinstance(name, str) or not _MATCH_NAME.fullmatch(name):
            raise PydanticCustomError(
                "match_name", "a name must have 1 to 64 letters, digits, _ and -"
            )
    return sorted(set(value))


Text = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255, strict=True),
    AfterValidator(require_printable),
]
Id = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_ID_CHARACTERS, strict=True),
    AfterValidator(_require_id_characters),
]
Amount = Annotated[Decimal, BeforeValidator(_amount)]
Currency = Annotated[str, StringConstraints(strict=True), AfterValidator(_currency)]
Flag = Annotated[bool, BeforeValidator(_true)]
MatchNames = Annotated[list[str], BeforeValidator(_match_names)]

AppointmentStatus = Literal["booked", "confirmed", "showed"]

Criterion = str | bool | Decimal | list[str]


class Criteria(BaseModel):
    """The rules that all goal types share: only criteria that are set are kept, and at least one
    must be set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    match_any_field: ClassVar[str | None] = None
    """The criterion that matches every event, and excludes the others."""
    match: MatchNames | None = None
    """The names of the values that an enrollment and an event must have in common (E17). No
    criterion: it needs another one, and `match_any_field` allows it."""
    refers_to: ClassVar[dict[str, CatalogKind]] = {}
    """The criteria that hold the id of a catalog entity, and its kind."""

    @model_validator(mode="before")
    @classmethod
    def _drop_unset(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        known = cls.model_fields
        present = {
            k: v for k, v in given.items() if k not in known or (v is not None and v is not False)
        }
        if not present.keys() - {MATCH}:
            raise PydanticCustomError("empty_criteria", EMPTY_CRITERIA)
        return present

    @model_validator(mode="after")
    def _require_any_alone(self) -> Self:
        set_fields = self.model_fields_set - {MATCH}
        if self.match_any_field in set_fields and len(set_fields) > 1:
            others = ", ".join(sorted(set_fields - {self.match_any_field}))
            raise PydanticCustomError(
                "any_with_others",
                "{any} matches every event and cannot be combined with {others}",
                {"any": self.match_any_field, "others": others},
            )
        return self

    def to_dict(self) -> dict[str, Criterion]:
        """Return the criteria that are set, by name."""
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}


class TagCriteria(Criteria):
    tag_id: Id | None = None
    tag_name: Annotated[Text | None, BeforeValidator(_normalized)] = None

    refers_to = {"tag_id": "tag"}


class PurchaseCriteria(Criteria):
    product_id: Id | None = None
    min_amount: Amount | None = None
    currency: Currency | None = None
    any_purchase: Flag = False

    match_any_field = "any_purchase"
    refers_to = {"product_id": "product"}


class AppointmentCriteria(Criteria):
    calendar_id: Id | None = None
    service_id: Id | None = None
    status: AppointmentStatus | None = None
    any_appointment: Flag = False

    match_any_field = "any_appointment"
    refers_to = {"calendar_id": "calendar", "service_id": "service"}


class FormCriteria(Criteria):
    form_id: Id

    refers_to = {"form_id": "form"}


class StageCriteria(Criteria):
    """`pipeline_id` is compared only if the event carries one."""

    stage_id: Id
    pipeline_id: Id | None = None

    refers_to = {"stage_id": "stage", "pipeline_id": "pipeline"}


CRITERIA_BY_TYPE: dict[GoalType, type[Criteria]] = {
    "tag_added": TagCriteria,
    "purchase_made": PurchaseCriteria,
    "appointment_booked": AppointmentCriteria,
    "form_submitted": FormCriteria,
    "pipeline_stage_reached": StageCriteria,
}


_MESSAGES = {
    "missing": "required but missing",
    "string_type": "must be a string",
    "model_type": "must be a map",
}
"""Replacements for Pydantic's messages, by error type."""


def read_criteria(goal_type: GoalType, given: Any) -> dict[str, Criterion]:
    """Validate criteria for a goal type and return those that are set. None is an empty map.

    Raises InvalidConfiguration with a JSON pointer below `/criteria` for each fault.
    """
    try:
        return CRITERIA_BY_TYPE[goal_type].model_validate({} if given is None else given).to_dict()
    except ValidationError as error:
        faults = [
            (
                "".join(f"/{key}" for key in ("criteria", *fault["loc"])),
                _message(goal_type, fault),
            )
            for fault in error.errors(include_url=False, include_input=False)
        ]
    pointer, first = faults[0]
    # The specification fixes this message, without a path.
    text = first if first == EMPTY_CRITERIA else f"{pointer[1:].replace('/', '.')}: {first}"
    raise InvalidConfiguration(text, faults)


def _message(goal_type: GoalType, fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden":
        return unknown_field(str(fault["loc"][-1]), CRITERIA_BY_TYPE[goal_type].model_fields)
    return _MESSAGES.get(fault["type"], fault["msg"])


def criteria_text(criteria: Mapping[str, Criterion]) -> str:
    """Return criteria as JSON, with amounts as exact numbers."""
    fields = (f"{json.dumps(name)}:{_criterion_text(value)}" for name, value in criteria.items())
    return "{" + ",".join(fields) + "}"


def _criterion_text(value: Criterion) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    return json.dumps(value, ensure_ascii=False)


def references(
    goal_type: GoalType, criteria: Mapping[str, Criterion]
) -> Iterator[tuple[str, CatalogKind, str]]:
    """Yield (criterion, kind, id) of each catalog entity that the criteria refer to."""
    for name, kind in CRITERIA_BY_TYPE[goal_type].refers_to.items():
        if name in criteria:
            yield name, kind, str(criteria[name])


def possible_references(criteria: Any) -> set[tuple[CatalogKind, str]]:
    """Return (kind, id) of each entity that the criteria may refer to. The goal type need not be
    known, and the criteria need not be valid."""
    if not isinstance(criteria, Mapping):
        return set()
    kinds = {
        name: kind for model in CRITERIA_BY_TYPE.values() for name, kind in model.refers_to.items()
    }
    return {
        (kinds[name], value)
        for name, value in criteria.items()
        if name in kinds and isinstance(value, str)
    }
