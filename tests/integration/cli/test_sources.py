"""`goald sources`, and sources in `goald apply`: what a person and a program see, and that no
secret is printed."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.integration.api.sources.test_hooks import ORDER, STRIPE, deliver, stripe
from tests.support.api.application import SECRETS_KEY
from tests.support.api.client import Api
from tests.support.services.commands import Ran
from tests.support.services.servers import Database

Run = Callable[..., Ran]
DEADLINE_S = 30.0
FILE = """
tenant: acme
workflows:
  - {id: launch, goals: [{goal_type: purchase_made, criteria: {any_purchase: true}}]}
sources:
  - name: pay
    preset: stripe
    secrets: [{env: PAY_SECRET}]
    contact: {region: DE}
"""


@pytest.fixture
def goald(run: Run, streams: object, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command over the Redis and Postgres of the test, and requires that no secret is
    printed."""
    monkeypatch.setenv("GOALD_SECRETS_KEYS", SECRETS_KEY)
    monkeypatch.setenv("PAY_SECRET", STRIPE)

    def checked(*arguments: str, stdin: bytes | None = None) -> Ran:
        ran = run(*arguments, stdin=stdin)
        assert STRIPE not in ran.out + ran.err
        return ran

    return checked


@pytest.fixture
def path(goald: Run, tmp_path: Path) -> str:
    """The path in the URL of a source that `goald apply` created."""
    (tmp_path / "acme.yaml").write_text(FILE)
    applied = goald("apply", "acme.yaml", "--json")
    assert applied.code == 0, applied.err
    created = next(each for each in applied.json["changes"] if each["kind"] == "source")
    return str(created["url"])


def edit(file: Path, old: str, new: str) -> None:
    file.write_text(file.read_text().replace(old, new))


def test_a_source_of_a_file_receives_deliveries_at_the_url_that_is_printed_once(
    goald: Run, api: Api, tmp_path: Path
) -> None:
    (tmp_path / "acme.yaml").write_text(FILE)
    planned = goald("apply", "acme.yaml", "--dry-run")
    assert "+ create  source" in planned.out
    assert "preset: stripe, secrets: 1, overrides: contact" in planned.out
    assert "/hooks/" not in planned.out
    assert goald("sources", "list", "--tenant", "acme").out == "The tenant acme has no sources.\n"

    applied = goald("apply", "acme.yaml")

    line = next(each for each in applied.out.splitlines() if each.startswith("URL of the source"))
    assert deliver(api, line.rpartition(" ")[2]).json()["accepted"] == 1
    again = goald("apply", "acme.yaml")
    assert again.out == "Nothing to do: acme matches the file.\n"


def test_changes_of_a_source_are_planned_and_made(
    goald: Run, path: str, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "acme.yaml"
    monkeypatch.setenv("PAY_SECRET", "whsec_two")
    assert "secrets: changed" in goald("apply", "acme.yaml", "--dry-run").out
    assert deliver(api, path).status_code == 200

    (tmp_path / "old").write_text(f"{STRIPE}\n")
    edit(file, "{env: PAY_SECRET}", "{env: PAY_SECRET}, {file: old}")
    edit(file, "region: DE", "region: AT")
    changed = goald("apply", "acme.yaml")

    assert "~ update  source  pay  secrets: 1 -> 2, overrides: contact" in changed.out
    assert "/hooks/" not in changed.out
    deadline = time.monotonic() + DEADLINE_S
    while deliver(api, path, headers=stripe(secret="whsec_two")).status_code != 200:
        assert time.monotonic() < deadline, "the API does not read the changed source"
        time.sleep(0.05)  # it keeps a source for a second
    assert deliver(api, path).status_code == 200


def test_prune_deletes_unlisted_sources_only_if_the_file_has_sources(
    goald: Run, path: str, tmp_path: Path
) -> None:
    file = tmp_path / "acme.yaml"
    with_sources, _, _ = FILE.partition("sources:")
    file.write_text(with_sources)
    assert "Nothing to do" in goald("apply", "acme.yaml", "--prune").out

    file.write_text(with_sources + "sources: []\n")
    assert "Nothing to do" in goald("apply", "acme.yaml").out
    assert "- delete  source  pay" in goald("apply", "acme.yaml", "--prune").out
    assert goald("sources", "list", "--tenant", "acme", "--json").json == []


def test_an_expression_that_finds_nothing_is_noted_by_apply_and_show(
    goald: Run, tmp_path: Path
) -> None:
    rule = "overrides: {events: {checkout: {currency: EUR}}}"
    (tmp_path / "acme.yaml").write_text(f"{FILE}    {rule}\n")
    note = "events.checkout.currency: `EUR` is unknown"
    assert f"note: source pay: {note}" in goald("apply", "acme.yaml").out
    assert note in goald("sources", "show", "pay", "--tenant", "acme").out
    (only,) = goald("sources", "show", "pay", "--tenant", "acme", "--json").json["notes"]
    assert only.startswith(note)


def test_a_faulty_source_changes_nothing_at_all(
    goald: Run, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "acme.yaml").write_text(FILE.replace("region: DE", "id: 'a.['"))
    refused = goald("apply", "acme.yaml")
    assert (refused.code, refused.out) == (1, "")
    assert "sources[0].contact.id: " in refused.err

    faults = FILE.replace("{region: DE}", "{id: 'a.[', email: 'b.[', phone: 'multiply(@)'}")
    (tmp_path / "acme.yaml").write_text(faults)
    refused = goald("apply", "acme.yaml")
    assert refused.err.startswith("goald: acme.yaml: sources[0].contact.")
    assert refused.err.count("; sources[0].contact.") == 2
    assert (refused.err.count("in a.["), refused.err.count("in b.[")) == (1, 1)

    (tmp_path / "acme.yaml").write_text(FILE)
    monkeypatch.delenv("PAY_SECRET")
    unset = goald("apply", "acme.yaml")
    assert unset.code == 1
    assert "sources[0].secrets[0]: the variable PAY_SECRET is not set or empty" in unset.err

    with psycopg.connect(database.admin_dsn) as connection:
        for table in ("workflows", "sources"):
            assert connection.execute(f"SELECT count(*) FROM goald.{table}").fetchone() == (0,)


def test_a_url_is_printed_even_if_a_later_source_cannot_be_written(
    goald: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first source has no secret, so it needs no key; nothing encrypts that of the second."""
    forms = "  - {name: forms, preset: tally}\n"
    (tmp_path / "acme.yaml").write_text(FILE.replace("sources:\n", "sources:\n" + forms))
    monkeypatch.delenv("GOALD_SECRETS_KEYS")

    failed = goald("apply", "acme.yaml")

    assert failed.code == 2
    assert "the source forms was created: /hooks/acme/forms/" in failed.err


@pytest.mark.usefixtures("path")
def test_sources_are_listed_and_printed_without_secrets_and_key(goald: Run, path: str) -> None:
    listed = goald("sources", "list", "--tenant", "acme")
    assert "pay     stripe        1  contact.updated, payment.completed" in listed.out
    record = goald("sources", "show", "pay", "--tenant", "acme")
    assert 'overrides: contact  {"region": "DE"}' in record.out
    as_json = goald("sources", "show", "pay", "--tenant", "acme", "--json")
    assert as_json.json["secrets"] == 1
    key = path.rpartition("/")[2]
    for ran in (listed, record, as_json):
        assert key not in ran.out

    missing = goald("sources", "show", "pya", "--tenant", "acme")
    assert missing.code == 1
    assert "The tenant acme has no source pya" in missing.err
    assert goald("sources", "show", "pay", "--tenant", "globex").code == 1


def test_deliveries_are_listed_with_their_outcome(goald: Run, path: str, api: Api) -> None:
    none = goald("sources", "deliveries", "pay", "--tenant", "acme")
    assert none.out == "No deliveries of pay are recorded.\n"
    deliver(api, path)
    deliver(api, path, headers=stripe(secret="whsec_false"))
    api.client("acme").get("/api/v1/sources/pay/deliveries")  # which writes what is buffered

    listed = goald("sources", "deliveries", "pay", "--tenant", "acme")
    assert "payment.completed of crm-42: sent" in listed.out
    assert "1 delivery is unverified: see --unverified." in listed.out
    unverified = goald("sources", "deliveries", "pay", "--tenant", "acme", "--unverified")
    assert "the signature" in unverified.out
    as_json = goald("sources", "deliveries", "pay", "--tenant", "acme", "--json").json
    assert [len(as_json[kind]) for kind in ("verified", "unverified")] == [1, 1]
    assert goald("sources", "deliveries", "other", "--tenant", "acme").code == 1


def check(goald: Run, *arguments: str, body: bytes = ORDER) -> Ran:
    return goald("sources", "test", "pay", "-", "--tenant", "acme", *arguments, stdin=body)


@pytest.mark.usefixtures("path")
def test_a_test_shows_the_events_of_a_payload_and_sends_nothing(goald: Run, streams: Any) -> None:
    unsigned = check(goald)
    assert unsigned.code == 0, unsigned.err
    assert "not verified: the header Stripe-Signature is missing" in unsigned.out
    assert "of crm-42 at 20" in unsigned.out
    assert "would be sent if it were verified\n" in unsigned.out
    assert "  amount: 5000" in unsigned.out

    signature = stripe()["Stripe-Signature"]
    signed = check(goald, "--header", f"Stripe-Signature: {signature}", "--json").json
    assert (signed["verified"], signed["events"][0]["contact_id"]) == (True, "crm-42")

    other = check(goald, body=json.dumps({"type": "plan.created"}).encode())
    assert "note: this is not an event of Stripe" in other.out
    assert "no event: " not in other.out
    assert list(streams.scan_iter("goald:events:*")) == []
    assert list(streams.scan_iter("goald:deliveries:*")) == []


@pytest.mark.usefixtures("path")
def test_a_test_refuses_what_no_source_receives(goald: Run, tmp_path: Path) -> None:
    assert check(goald, body=b"x" * (1 << 20) + b"x").code == 1
    assert check(goald, "--header", "no colon").code == 2
    absent = goald("sources", "test", "pay", "absent.json", "--tenant", "acme")
    assert (absent.code, "No such file" in absent.err) == (1, True)


def test_a_form_is_tested_with_its_content_type(goald: Run, tmp_path: Path) -> None:
    (tmp_path / "forms.yaml").write_text(
        "tenant: acme\nsources:\n- name: pay\n  preset: custom\n  overrides:\n"
        "    provider: Forms\n    scheme: {type: none}\n    contact: {id: body.contact}\n"
        "    events: {form: {when: body.form, type: form.submitted, data: {form_id: body.form}}}\n"
    )
    assert goald("apply", "forms.yaml").code == 0
    form = "Content-Type: application/x-www-form-urlencoded"
    ran = check(goald, "--header", form, body=b"form=f-1&contact=c-1")
    assert "of c-1 at the time of arrival: would be sent\n" in ran.out
    assert "  form_id: f-1" in ran.out


def test_the_help_says_how_sources_are_created_and_keys_rotated(run: Run) -> None:
    printed = run("sources", "--help").out
    assert "goald apply" in printed
    assert "rotate-key" in printed
