"""Each preset: its provider's payloads over HTTP, signed as the provider signs, up to the exit."""

import json
import time
import zlib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from tests.support.api.application import SECRETS_KEY
from tests.support.api.client import Api, served
from tests.support.services.daemon import Daemon
from tests.support.sources.payloads import PAYLOADS, payload
from tests.support.sources.paypal import CERTIFICATE_URL, SUBJECT, WEBHOOK_ID, issue, new_authority
from tests.support.sources.signing import SIGNERS, Request, Signer

from goald.adapters.clock import SystemClock
from goald.api.app import create_app
from goald.api.sources.certificates import CertificateFetcher
from goald.api.sources.compiled import CompiledSources
from goald.api.sources.receiver import SourceReceiver
from goald.runtime.wiring.api import api_dependencies
from goald.settings import Settings
from goald.sources.documents.presets import preset_names

LONG_AGO = "2000-01-01T00:00:00Z"
PRESETS = sorted({*preset_names()} - {"custom"})
MIN_ACHIEVING = 3
"""Payloads of each provider that achieve a goal."""
PUBLIC_URL = "https://goald.example.com"
"""In front of the URLs for HubSpot, which signs them."""
STALE_S = 4 * 86_400 + 1
OWN = {
    "type": "payment.completed",
    "timestamp": "2026-11-03T20:26:10Z",
    "data": {"id": "own-1", "amount": "49.00", "currency": "EUR"},
}
"""A payload of a sender that uses goald's types, for presets without a fixed format."""

_AUTHORITY = new_authority()
_LEAF = issue(_AUTHORITY, SUBJECT)


@dataclass(frozen=True)
class Case:
    """A payload of a provider with the events that it means."""

    name: str
    body: bytes
    headers: dict[str, str]
    overrides: dict[str, Any]
    events: list[dict[str, Any]]
    is_test: bool

    @property
    def goals(self) -> list[tuple[str, dict[str, Any]]]:
        """The goals that it achieves."""
        return [goal for event in self.events if (goal := _goal(event)) is not None]


def _goal(event: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    kind, data = event["type"], event["data"]
    if kind == "payment.completed" and float(data.get("amount", 0)) > 0:
        return "purchase_made", {"any_purchase": True}
    if kind == "appointment.booked":
        return "appointment_booked", {"any_appointment": True}
    if kind == "form.submitted":
        return "form_submitted", {"form_id": data["form_id"]}
    if kind == "pipeline.stage.changed":
        return "pipeline_stage_reached", {"stage_id": data["stage_id"]}
    if kind == "contact.tag.added" and "tag_name" in data:
        return "tag_added", {"tag_name": data["tag_name"]}
    return None


def _cases(preset: str) -> list[Case]:
    expected = json.loads((PAYLOADS / preset / "expected.json").read_text("utf-8"))
    # Segment signs only the first event of a batch, so goald refuses batches.
    expected.pop("batch_array", None)
    cases = [
        Case(
            name,
            payload(preset, case["payload"]),
            {"content-type": "application/json", **case["headers"]},
            case.get("overrides", {}),
            case["events"],
            case.get("is_test", False),
        )
        for name, case in expected.items()
    ]
    if preset in ("standard_webhooks", "svix"):
        headers = {"content-type": "application/json"}
        event = {"type": OWN["type"], "data": OWN["data"], "contact": {}}
        cases.append(Case("own", json.dumps(OWN).encode(), headers, {}, [event], False))
    return cases


def _paypal(sent: Request) -> dict[str, str]:
    sent_at = datetime.fromtimestamp(sent.at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = f"id-1|{sent_at}|{sent.secret}|{zlib.crc32(sent.body)}".encode()
    return {
        "PAYPAL-TRANSMISSION-ID": "id-1",
        "PAYPAL-TRANSMISSION-TIME": sent_at,
        "PAYPAL-TRANSMISSION-SIG": b64encode(_LEAF.key.sign(text, PKCS1v15(), SHA256())).decode(),
        "PAYPAL-CERT-URL": CERTIFICATE_URL,
        "PAYPAL-AUTH-ALGO": "SHA256withRSA",
    }


SIGNER_OF = {**SIGNERS, "paypal": Signer(WEBHOOK_ID, "ANOTHER1", _paypal, has_time=True)}


class Sender:
    """A provider that calls the URLs of one tenant's sources."""

    def __init__(self, api: Api, preset: str, tenant: str) -> None:
        self.preset = preset
        self.client = api.client(tenant)
        self.signer = SIGNER_OF.get(preset)
        self._anonymous = api.anonymous()

    def source(self, name: str, overrides: dict[str, Any], *secrets: str) -> str:
        """Create or replace a source; its URL if it is new."""
        default = [self.signer.secret] if self.signer is not None else []
        body = {"preset": self.preset, "secrets": [*secrets] or default, "overrides": overrides}
        answer = self.client.put(f"/api/v1/sources/{name}", json=body)
        assert answer.is_success, answer.text
        return str(answer.json()["url"])

    def deliver(
        self,
        url: str,
        case: Case,
        *,
        secret: str | None = None,
        age_s: int = 0,
        forged: bool = False,
    ) -> httpx.Response:
        headers = dict(case.headers)
        if self.signer is not None:
            at_s = int(time.time()) - age_s
            sent = Request(case.body, at_s, url, secret or self.signer.secret)
            headers |= self.signer.sign(sent)
        body = case.body + b" " if forged else case.body
        return self._anonymous.post(url.removeprefix(PUBLIC_URL), content=body, headers=headers)


@contextmanager
def _own_api(daemon: Daemon) -> Iterator[Api]:
    """An API over the daemon's Redis and Postgres with a public URL, which gets PayPal's
    certificate from the test."""
    settings = Settings(
        redis_url=daemon.redis_url,
        postgres_dsn=daemon.admin_dsn,
        jwt_secret=daemon.api.secret,
        secrets_keys=SECRETS_KEY,
        public_url=PUBLIC_URL,
    )
    dependencies = api_dependencies(settings)
    certificates = CertificateFetcher(
        SystemClock(),
        transport=httpx.MockTransport(lambda _: httpx.Response(200, content=_LEAF.pem)),
        roots=_AUTHORITY.pem,
    )
    sources = dependencies.sources
    receiver = SourceReceiver(
        CompiledSources(),
        certificates,
        sources.processor,
        dependencies.access.quotas,
        sources.deliveries,
    )
    app = create_app(replace(dependencies, sources=replace(sources, receiver=receiver)))
    with served(app) as url, closing(Api(url, daemon.api.secret)) as api:
        yield api


@pytest.fixture
def sender(request: pytest.FixtureRequest, daemon: Daemon, tenant: str) -> Iterator[Sender]:
    preset = request.node.callspec.params["preset"]
    if preset not in ("hubspot", "paypal"):
        yield Sender(daemon.api, preset, tenant)
        return
    with _own_api(daemon) as api:
        yield Sender(api, preset, tenant)


def _own_contact(case: Case, event: dict[str, Any]) -> str | None:
    """The contact of a rule that names its own, which takes precedence."""
    rules = case.overrides.get("events", {}).values()
    names_own = any("contact" in rule for rule in rules)
    return str(event["contact"]["id"]) if names_own else None


def _with_contact(case: Case, contact: str) -> dict[str, Any]:
    """Overrides by which every event without a separate rule is about this contact."""
    own = case.overrides.get("contact", {})
    return {**case.overrides, "contact": {**own, "id": f"'{contact}'"}}


def _workflows(client: httpx.Client, cases: list[Case]) -> dict[str, str]:
    """Create a workflow for each goal of the cases; the id by goal."""
    ids: dict[str, str] = {}
    for case in cases:
        for kind, criteria in case.goals:
            goal = json.dumps([kind, criteria])
            if goal in ids:
                continue
            ids[goal] = workflow = f"w-{len(ids)}"
            path = f"/api/v1/workflows/{workflow}"
            body = {"goal_type": kind, "criteria": criteria, "effective_from": LONG_AGO}
            for answer in (
                client.put(path, json={"name": workflow, "goal_logic": "any"}),
                client.post(f"{path}/goals", json=body),
                client.post(f"{path}/activate"),
            ):
                assert answer.is_success, answer.text
    return ids


@pytest.mark.parametrize("preset", PRESETS)
def test_payloads_of_each_provider_end_the_runs_of_their_contacts(
    daemon: Daemon, tenant: str, preset: str, sender: Sender
) -> None:
    cases = _cases(preset)
    workflows = _workflows(sender.client, cases)
    daemon.until("the workflows", lambda: _are_loaded(sender.client, workflows.values()))
    expected: set[tuple[str, str]] = set()
    for number, case in enumerate(cases):
        for event in case.events:
            goal = _goal(event)
            if goal is not None:
                contact = _own_contact(case, event) or f"{preset}-{number}"
                expected.add((contact, workflows[json.dumps(list(goal))]))
    starts = [_start(contact, workflow) for contact, workflow in sorted(expected)]
    assert sender.client.post("/api/v1/events", json=starts).status_code == 202
    daemon.until_lag_zero()

    for number, case in enumerate(cases):
        url = sender.source(f"s-{number}", _with_contact(case, f"{preset}-{number}"))
        answer = sender.deliver(url, case)
        assert answer.status_code == 200, (case.name, answer.text)
        if case.is_test and not case.overrides.get("accept_tests"):
            assert answer.json()["accepted"] in (0, len(case.events)), case.name

    def exited() -> set[tuple[str, str]]:
        return {(each.contact_id, each.workflow_id) for each in daemon.exits(tenant)}

    try:
        daemon.until("the exits", lambda: exited() >= expected)
    except AssertionError:
        raise AssertionError(f"no exit for {expected - exited()}") from None
    assert exited() == expected
    achieving = {contact for contact, _ in expected}
    assert len(achieving) >= MIN_ACHIEVING


def _are_loaded(client: httpx.Client, workflows: Any) -> bool:
    return all(
        client.get(f"/api/v1/workflows/{workflow}/listeners").json()["everywhere"]
        for workflow in workflows
    )


def _start(contact: str, workflow: str) -> dict[str, Any]:
    return {
        "id": f"start-{contact}-{workflow}",
        "source": "engine",
        "type": "workflow.enrollment.started",
        "time": LONG_AGO,
        "data": {
            "contact_id": contact,
            "workflow_id": workflow,
            "enrollment_id": f"{contact}-{workflow}",
            "enrolled_at": LONG_AGO,
        },
    }


@pytest.mark.parametrize("preset", sorted(SIGNER_OF))
def test_forged_stale_and_rotated_signatures_of_each_provider(preset: str, sender: Sender) -> None:
    assert sender.signer is not None
    signer = sender.signer
    case = next(each for each in _cases(preset) if each.events and each.body)
    url = sender.source("signed", case.overrides)
    key = url.rpartition("/")[2]

    assert sender.deliver(url, case).status_code == 200
    assert sender.deliver(url, case, secret=signer.other_secret).status_code == 401
    assert sender.deliver(url.replace(key, "A" * len(key)), case).status_code == 401
    is_over_body = preset not in ("cloudevents", "pipedrive", "gohighlevel_workflow")
    assert sender.deliver(url, case, forged=True).status_code == (401 if is_over_body else 200)
    if signer.has_time:
        assert sender.deliver(url, case, age_s=STALE_S).status_code == 401

    sender.source("signed", case.overrides, signer.other_secret, signer.secret)
    for secret in (signer.secret, signer.other_secret):
        assert sender.deliver(url, case, secret=secret).status_code == 200
    sender.source("signed", case.overrides, signer.other_secret)
    assert sender.deliver(url, case).status_code == 401


def test_a_contact_is_found_by_the_email_address_that_goald_knows(
    daemon: Daemon, tenant: str
) -> None:
    sender = Sender(daemon.api, "stripe", tenant)
    case = next(each for each in _cases("stripe") if each.name == "invoice.paid_current")
    workflows = _workflows(sender.client, [case])
    daemon.until("the workflows", lambda: _are_loaded(sender.client, workflows.values()))
    known = {
        "id": "known-1",
        "source": "crm",
        "type": "contact.updated",
        "time": LONG_AGO,
        "data": {"contact_id": "crm-9", "email": "Jenny.Rosen@EXAMPLE.com"},
    }
    answer = sender.client.post("/api/v1/events", json=[known, _start("crm-9", "w-0")])
    assert answer.status_code == 202, answer.text
    daemon.until_lag_zero()

    delivered = sender.deliver(sender.source("by-email", {}), case)

    assert delivered.json() == {"accepted": 1, "reasons": []}
    daemon.until(
        "the exit", lambda: [each.contact_id for each in daemon.exits(tenant)] == ["crm-9"]
    )
