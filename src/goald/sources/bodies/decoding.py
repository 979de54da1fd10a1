"""Chooses how the body of a delivery is decoded."""

from typing import Any, Literal

from goald.domain.errors import InvalidEvent
from goald.sources.bodies.cloud_events import read_cloud_events
from goald.sources.bodies.forms import read_form, read_multipart
from goald.sources.bodies.json_text import MAX_BODY, read_json
from goald.sources.delivery import Delivery

BodyForm = Literal["auto", "json", "form", "cloudevents"]
"""`auto` decides by the Content-Type; `json` reads JSON under any Content-Type; `form` reads
forms and multipart."""


def decode_body(delivery: Delivery, form: BodyForm) -> Any:
    """Return the decoded body of a delivery; of CloudEvents the list of envelopes. Raises
    InvalidEvent with the reason, for the operator."""
    if len(delivery.body) > MAX_BODY:
        raise InvalidEvent(f"the body has more than {MAX_BODY} bytes")
    if form == "cloudevents":
        return read_cloud_events(delivery)
    content_type = delivery.header("content-type") or ""
    media = content_type.partition(";")[0].strip().lower()
    if form != "json" and media == "multipart/form-data":
        return read_multipart(delivery.body, content_type)
    if form != "json" and media == "application/x-www-form-urlencoded":
        return read_form(delivery.body)
    if form == "form":
        raise InvalidEvent(f"the body is {media[:64] or 'of no known type'}, not a form")
    return read_json(delivery.body)
