"""Criteria: what an event must carry to achieve a goal (E2), read strictly.

One that is null or false is not set. What remains is kept: nothing else, amounts as exact
decimals. Unknown keys are refused, and `true` is no amount.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self

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
from goald.domain.errors import InvalidConfiguration

EMPTY = "Goal criteria cannot be empty"
MAX_DIGITS = 18

_AMOUNT = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise PydanticCustomError("control_characters", "must not hold control characters")
    return text


def _amount(value: Any) -> Decimal:
    """An exact decimal from an integer, a decimal or its plain text: no exponent, no sign, at
    most MAX_DIGITS after the point."""
    if isinstance(value, Decimal) and value.is_finite():
        text = format(value, "f")
    else:
        text = str(value) if type(value) in (int, str) else ""
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


def _composed(value: Any) -> Any:
    """As tags are compared (E2), so that two goals that take the same are seen to be the same."""
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


Text = Annotated[
    str, StringConstraints(min_length=1, max_length=255, strict=True), AfterValidator(_printable)
]
Id = Annotated[
    str, StringConstraints(min_length=1, max_length=128, strict=True), AfterValidator(_printable)
]
Amount = Annotated[Decimal, BeforeValidator(_amount)]
Flag = Annotated[bool, BeforeValidator(_true)]

Criterion = str | bool | Decimal


class Criteria(BaseModel):
    """What all five types share: only what is set is kept, and something must be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    takes_any: ClassVar[str | None] = None
    """The criterion that stands for every event, and so alone."""
    refers_to: ClassVar[dict[str, CatalogKind]] = {}
    """Which criteria name an entity of the catalog, and of which kind."""

    @model_validator(mode="before")
    @classmethod
    def _leave_out_what_is_not_set(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        known = cls.model_fields
        found = {
            k: v for k, v in given.items() if k not in known or (v is not None and v is not False)
        }
        if not found:
            raise PydanticCustomError("empty_criteria", EMPTY)
        return found

    @model_validator(mode="after")
    def _any_stands_alone(self) -> Self:
        if self.takes_any in self.model_fields_set and len(self.model_fields_set) > 1:
            others = ", ".join(sorted(self.model_fields_set - {self.takes_any}))
            raise PydanticCustomError(
                "any_beside_others",
                "{any} takes every event: it cannot stand beside {others}",
                {"any": self.takes_any, "others": others},
            )
        return self

    def as_set(self) -> dict[str, Criterion]:
        """What is set, by name."""
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}


class TagCriteria(Criteria):
    tag_id: Id | None = None
    tag_name: Annotated[Text | None, BeforeValidator(_composed)] = None

    refers_to = {"tag_id": "tag"}


class PurchaseCriteria(Criteria):
    product_id: Id | None = None
    min_amount: Amount | None = None
    currency: Text | None = None
    any_purchase: Flag = False

    takes_any = "any_purchase"
    refers_to = {"product_id": "product"}


class AppointmentCriteria(Criteria):
    calendar_id: Id | None = None
    service_id: Id | None = None
    any_appointment: Flag = False

    takes_any = "any_appointment"
    refers_to = {"calendar_id": "calendar", "service_id": "service"}


class FormCriteria(Criteria):
    form_id: Id

    refers_to = {"form_id": "form"}


class StageCriteria(Criteria):
    """`pipeline_id` is compared where the event carries one too."""

    stage_id: Id
    pipeline_id: Id | None = None

    refers_to = {"stage_id": "stage", "pipeline_id": "pipeline"}


OF_TYPE: dict[GoalType, type[Criteria]] = {
    "tag_added": TagCriteria,
    "purchase_made": PurchaseCriteria,
    "appointment_booked": AppointmentCriteria,
    "form_submitted": FormCriteria,
    "pipeline_stage_reached": StageCriteria,
}


_PLAIN = {
    "extra_forbidden": "is not known here",
    "missing": "is missing",
    "string_type": "must be text",
    "model_type": "must be a map",
}
"""Pydantic's messages that need a programmer to read, by their type."""


def read_criteria(goal_type: GoalType, given: Any) -> dict[str, Criterion]:
    """What is set of the criteria given for a type of goal; None stands for none.

    Raises InvalidConfiguration, with the place of each fault below `/criteria`.
    """
    try:
        return OF_TYPE[goal_type].model_validate({} if given is None else given).as_set()
    except ValidationError as error:
        faults = [
            ("".join(f"/{step}" for step in ("criteria", *fault["loc"])), _told(fault))
            for fault in error.errors(include_url=False, include_input=False)
        ]
    pointer, first = faults[0]
    # The message of the spec stands alone.
    text = first if first == EMPTY else f"{pointer[1:].replace('/', '.')}: {first}"
    raise InvalidConfiguration(text, faults)


def _told(fault: ErrorDetails) -> str:
    return _PLAIN.get(fault["type"], fault["msg"])


def references(
    goal_type: GoalType, criteria: Mapping[str, Criterion]
) -> Iterator[tuple[str, CatalogKind, str]]:
    """(criterion, kind, id) of each entity that criteria name."""
    for name, kind in OF_TYPE[goal_type].refers_to.items():
        if name in criteria:
            yield name, kind, str(criteria[name])


def mentioned(criteria: Any) -> set[tuple[CatalogKind, str]]:
    """(kind, id) of what criteria may refer to, of whatever type they turn out to be, and
    valid or not."""
    if not isinstance(criteria, Mapping):
        return set()
    kinds = {name: kind for one in OF_TYPE.values() for name, kind in one.refers_to.items()}
    return {
        (kinds[name], value)
        for name, value in criteria.items()
        if name in kinds and isinstance(value, str)
    }
