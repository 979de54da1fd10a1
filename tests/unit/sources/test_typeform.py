"""Typeform's webhooks become submitted forms, once for each submission."""

from tests.support.sources.payloads import NOW_US, delivery, payload, vectors

from goald.sources.compiled import compile_source
from goald.sources.mapping.results import ContactReference

SOURCE = compile_source("typeform", {})


def test_a_submission_is_an_event_of_its_form_with_the_contacts_address() -> None:
    result = SOURCE.map(delivery(payload("typeform", "form_response.json")), "d-1")
    (event,) = result.events
    assert event.type == "form.submitted"
    assert event.id == "form_response:a3a12ec67a1365927098a606107fac15"
    assert event.time_us == 1_516_299_422_000_000
    assert event.data == {
        "form_id": "lT4Z3j",
        "submission_id": "a3a12ec67a1365927098a606107fac15",
        "form_name": "Webhooks example",
    }
    assert event.contact == ContactReference(email="laura@example.com")


def test_hidden_fields_name_the_contact() -> None:
    result = SOURCE.map(delivery(payload("typeform", "form_response_phone_payment.json")), "d-1")
    (event,) = result.events
    assert event.contact == ContactReference(id="c-4711", phone="+12015550123")


def test_a_partial_response_and_a_test_request_mean_nothing_and_say_why() -> None:
    partial = SOURCE.map(delivery(payload("typeform", "form_response_partial.json")), "d-1")
    assert partial.events == ()
    assert partial.notes == ("the form was left before it was submitted",)
    test = SOURCE.map(delivery(payload("typeform", "test_event.json")), "d-1")
    assert (test.events, test.is_test) == ((), True)
    assert "test" in test.notes[0]


def test_a_signature_over_the_raw_body_is_verified_and_a_forged_one_is_not() -> None:
    known = vectors("typeform")
    secrets = SOURCE.parse_secrets(["another", known["secret"]])
    for name, signature in known["vectors"].items():
        body = payload("typeform", name)
        signed = delivery(body, {"Typeform-Signature": signature})
        assert SOURCE.verify(signed, secrets, NOW_US).secret == 1, name
        forged = delivery(body + b" ", {"Typeform-Signature": signature})
        assert not SOURCE.verify(forged, secrets, NOW_US).verified, name
    assert not SOURCE.verify(delivery(b"{}"), secrets, NOW_US).verified
