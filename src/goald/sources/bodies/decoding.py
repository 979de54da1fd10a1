"""Chooses how the body of a delivery is decoded."""

from typing import Any, Final, Literal

from goald.domain.errors import InvalidEvent
from goald.sources.bodies.cloud_events import read_cloud_events
from goald.sources.bodies.forms import read_form, read_multipart
from goald.sources.bodies.json_text import MAX_BODY, read_json
from goald.sources.delivery import Delivery

BodyForm = Literal["auto", "json", "form", "cloudevents"]
"""`auto` decides by the Content-Type; `json` reads JSON under any Content-Type; `form` reads
forms and multipart."""

FORM: Final = "application/x-www-form-urlencoded"


def media_type(delivery: Delivery) -> str:
    """Return the media type of the Content-Type in lower case, without its parameters."""
    return (delivery.header("content-type") or "").partition(";")[0].strip().lower()


def decode_body(delivery: Delivery, form: BodyForm) -> Any:
    """Return the decoded body of a delivery; of CloudEvents the list of envelopes. Raises
    InvalidEvent with the reason, for the operator."""
    if len(delivery.body) > MAX_BODY:
        raise InvalidEvent(f"the body has more than {MAX_BODY} bytes")
    if form == "cloudevents":
        return read_cloud_events(delivery)
    media = media_type(delivery)
    if form != "json" and media == "multipart/form-data":
        return read_multipart(delivery.body, delivery.header("content-type") or "")
    if form != "json" and media == FORM:
        return read_form(delivery.body)
    if form == "form":
        raise InvalidEvent(f"the body is {media[:64] or 'of no known type'}, not a form")
    return read_json(delivery.body)
