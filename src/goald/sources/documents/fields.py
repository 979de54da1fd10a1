"""The fields of a source document, as a YAML or JSON map."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from goald.domain.contacts.zones import not_a_zone, zone_names
from goald.domain.suggestions import nearest
from goald.sources.bodies.decoding import BodyForm
from goald.sources.documents.scheme_fields import SchemeFields
from goald.sources.expressions.expression import Expression, ExpressionFault, compile_expression

EVENT_TYPES: Final = frozenset(
    {
        "appointment.booked",
        "appointment.cancelled",
        "contact.deleted",
        "contact.merged",
        "contact.tag.added",
        "contact.tag.removed",
        "contact.updated",
        "form.submitted",
        "payment.completed",
        "payment.refunded",
        "pipeline.stage.changed",
    }
)
"""The types that a source may send. Enrollments are the platform's business."""
ARRIVAL: Final = "arrival"
"""In place of an expression: the time at which the delivery was received."""
MAX_RULES: Final = 64
MAX_FIELDS: Final = 64
ROOT_NAMES: Final = frozenset(
    {"body", "headers", "query", "method", "digest", "item", "entry", "parameters"}
)
"""The names that every expression sees; see docs/reference/sources.md."""


def _compile(value: Any) -> Any:
    if isinstance(value, Expression):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("expression", "must be a JMESPath expression, as a string")
    try:
        return compile_expression(value)
    except ExpressionFault as fault:
        raise PydanticCustomError("expression", "{fault}", {"fault": str(fault)}) from None


def _event_type(value: str) -> str:
    if value not in EVENT_TYPES:
        near = nearest(value, sorted(EVENT_TYPES))
        hint = (
            f" Did you mean {near}?" if near else f" The types are {', '.join(sorted(EVENT_TYPES))}"
        )
        raise PydanticCustomError(
            "event_type", "{fault}", {"fault": f"not a type that a source may send.{hint}"}
        )
    return value


def _zone(value: str) -> str:
    if value not in zone_names():
        raise PydanticCustomError("zone", "{fault}", {"fault": not_a_zone(value)})
    return value


def _listed(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else [value]


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
JsonName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
Path = Annotated[Any, BeforeValidator(_compile)]
"""A JMESPath expression; an `Expression` once it is validated."""
Paths = Annotated[tuple[Path, ...], BeforeValidator(_listed), Field(min_length=1, max_length=8)]
Text = Annotated[str, Field(min_length=1, max_length=500)]
EventType = Annotated[str, AfterValidator(_event_type)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class DocumentFields(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class CheckFields(DocumentFields):
    """A condition, and the reason that is shown if it decides."""

    when: Path
    reason: Text


class ContactFields(DocumentFields):
    """Paths to the contact: the platform's id, and the addresses to look it up by."""

    id: Path | None = None
    email: Path | None = None
    phone: Path | None = None
    region: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    """The country of phone numbers without a country code, such as DE."""
    on_unknown: Literal["create", "ignore", "dead"] = "ignore"
    """How the receiver treats an event whose contact is unknown. Set for the whole document."""


class MoneyFields(DocumentFields):
    minor_units: bool = False
    """Amounts are in minor units, such as cents, by the exponent of their currency."""
    exponents: dict[Currency, Annotated[int, Field(ge=0, le=4)]] = {}
    """Exponents of the provider that differ from ISO 4217."""
    currency: Currency | None = None
    """The currency of amounts that carry none."""


class LineItemFields(DocumentFields):
    each: Path
    """A list; the other paths see each of its elements as `entry`."""
    product_id: Path
    amount: Path | None = None
    quantity: Path | None = None
    name: Path | None = None


class HandshakeFields(DocumentFields):
    """A request of the provider that is answered before any signature is checked."""

    type: Literal["reply", "cloudevents"]
    when: Path | None = None
    reason: Text = "a handshake of the provider"
    json_body: Annotated[dict[JsonName, Path] | None, Field(alias="json")] = None

    @model_validator(mode="after")
    def _check(self) -> "HandshakeFields":
        if self.type == "reply" and self.when is None:
            raise PydanticCustomError("when", "a reply needs `when`")
        return self


class EventFields(DocumentFields):
    """A rule: the goald event that an item of a delivery means."""

    when: Path
    each: Path | None = None
    """A list: one event for each of its elements, which the other paths see as `entry`."""
    type: EventType | None = None
    type_from: Path | None = None
    types: Annotated[tuple[EventType, ...], Field(max_length=16)] = ()
    id: Paths | None = None
    """The parts of the event's id, joined with colons: the same for every delivery of the same
    fact. Without it, the id derives from the delivery's."""
    source: Path | None = None
    time: Path | None = None
    contact: ContactFields | None = None
    amount: Path | None = None
    currency: Path | None = None
    minor_units: bool | None = None
    line_items: LineItemFields | None = None
    data: Annotated[dict[Name, Path], Field(max_length=MAX_FIELDS)] = {}
    data_from: Path | None = None
    """An object whose members become fields of `data`."""

    @model_validator(mode="after")
    def _check(self) -> "EventFields":
        if (self.type is None) == (self.type_from is None):
            raise PydanticCustomError("type", "needs either `type`, or `type_from` with `types`")
        if self.type_from is not None and not self.types:
            raise PydanticCustomError(
                "type", "`type_from` needs `types`, the types that may be sent"
            )
        return self


class SourceDocument(DocumentFields):
    """A whole document. Names of rules and checks are keys, so that overrides can address them."""

    version: Literal[1] = 1
    provider: Text
    documentation: Annotated[tuple[Text, ...], Field(max_length=16)] = ()
    scheme: SchemeFields
    body: BodyForm = "auto"
    parameters: dict[Name, str | int | bool | None] = {}
    """Values that expressions see as `parameters.NAME`; null means that the source must set it."""
    items: Path | None = None
    """A list: each element is judged alone, as `item`. Default: the body is the only item."""
    let: Annotated[dict[Name, Path], Field(max_length=32)] = {}
    """Expressions whose values the others see by name; each sees those before it."""
    kind: Path | None = None
    """The provider's name of the event; shown in reasons."""
    require: dict[Name, CheckFields] = {}
    """Every condition must hold, else the item means nothing."""
    test: dict[Name, CheckFields] = {}
    """Conditions of the provider's test events, which mean nothing unless `accept_tests`."""
    accept_tests: bool = False
    ignore: dict[Name, CheckFields] = {}
    """Reasons for items that mean nothing, shown when no rule matches."""
    contact: ContactFields = ContactFields()
    time: Annotated[Any, BeforeValidator(lambda v: v if v == ARRIVAL else _compile(v))] = ARRIVAL
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    max_deviation_seconds: Annotated[int, Field(ge=60)] | None = None
    """An event's time that is further from the arrival is replaced by the arrival."""
    money: MoneyFields = MoneyFields()
    handshake: Annotated[dict[Name, HandshakeFields], Field(max_length=8)] = {}
    events: Annotated[dict[Name, EventFields], Field(min_length=1, max_length=MAX_RULES)]

    @model_validator(mode="after")
    def _check(self) -> "SourceDocument":
        taken = ROOT_NAMES & self.let.keys()
        if taken:
            raise PydanticCustomError("let", "{fault}", {"fault": f"`let`: {min(taken)} is taken"})
        return self

    def event_types(self) -> frozenset[str]:
        """The types that this source may send."""
        return frozenset(
            each
            for rule in self.events.values()
            for each in (rule.types if rule.type is None else (rule.type,))
        )
