"""Handshakes: requests by which a provider checks a URL before it sends anything to it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from goald.domain.errors import InvalidEvent
from goald.sources.bodies.decoding import decode_body
from goald.sources.delivery import Delivery
from goald.sources.documents.fields import HandshakeFields, SourceDocument
from goald.sources.expressions.budget import Budget, BudgetExhausted
from goald.sources.expressions.compiler import is_false
from goald.sources.expressions.expression import ExpressionFault
from goald.sources.mapping.evaluation import root_of
from goald.sources.mapping.values import DataBudget, DataTooLarge, data_value

_ORIGIN: Final = re.compile(r"[A-Za-z0-9.*:-]{1,255}(?:, ?[A-Za-z0-9.*:-]{1,255}){0,7}", re.ASCII)
_RATE: Final = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


@dataclass(frozen=True, slots=True)
class HandshakeResponse:
    """The answer to a handshake."""

    reason: str
    """For the operator: which handshake it was."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def handshake_response(document: SourceDocument, delivery: Delivery) -> HandshakeResponse | None:
    """Return the answer of the first handshake of a document that a request is; None if it is
    none. A value of the request is echoed only by this, so the key in the path must be right
    before it is called. Never raises."""
    for handshake in document.handshake.values():
        if handshake.type == "cloudevents":
            response = _cloud_events(delivery)
        else:
            response = _reply(document, handshake, delivery)
        if response is not None:
            return response
    return None


def _cloud_events(delivery: Delivery) -> HandshakeResponse | None:
    """The abuse protection of CloudEvents over HTTP. The callback URL is never called."""
    if delivery.method != "OPTIONS":
        return None
    origin = delivery.header("webhook-request-origin") or ""
    allow = {"Allow": "POST, OPTIONS"}
    if not _ORIGIN.fullmatch(origin):
        return HandshakeResponse("OPTIONS without WebHook-Request-Origin", 405, allow)
    rate = delivery.header("webhook-request-rate") or ""
    headers = {
        **allow,
        "WebHook-Allowed-Origin": origin,
        "WebHook-Allowed-Rate": rate if _RATE.fullmatch(rate) else "*",
    }
    return HandshakeResponse("the handshake of CloudEvents", 200, headers)


def _reply(
    document: SourceDocument, handshake: HandshakeFields, delivery: Delivery
) -> HandshakeResponse | None:
    try:
        body = decode_body(delivery, document.body)
        root = root_of(document, delivery, body)
        steps = Budget()
        if handshake.when is None or is_false(handshake.when.evaluate(steps, root)):
            return None
        if handshake.json_body is None:
            return HandshakeResponse(handshake.reason)
        budget = DataBudget()
        answer: dict[str, Any] = {
            name: data_value(name, path.evaluate(steps, root), budget)
            for name, path in handshake.json_body.items()
        }
    except (InvalidEvent, ExpressionFault, BudgetExhausted, DataTooLarge):
        return None
    return HandshakeResponse(
        handshake.reason,
        200,
        {"Content-Type": "application/json"},
        json.dumps(answer, separators=(",", ":")).encode(),
    )
