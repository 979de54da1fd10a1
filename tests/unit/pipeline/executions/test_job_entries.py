"""Jobs carry what their templates name of the contact, and their gate."""

from goald.domain.actions.gates import ActionType, GateId, gate_series
from goald.domain.actions.job import Job
from goald.domain.contacts.merging import StoredContact
from goald.domain.contacts.projection import Contact
from goald.domain.contacts.tags import Tag
from goald.pipeline.executions.jobs import JobFacts, StartedJob, job_entries

GATE = GateId(gate_series(7, b"\x00" * 4), 3)
STARTED = StartedJob(
    GATE, "acme", "ann", "w", "e-1", "hello", 1, 2, ActionType("webhook"), "crm", "the-key",
    '{"body": {"name": "{{ contact.first_name }}"}}', 4,
)  # fmt: skip


def parsed(contact: Contact | None) -> Job:
    stored = {} if contact is None else {("acme", "ann"): StoredContact(contact, None)}
    facts = JobFacts(stored, {}, lambda _: "Welcome")
    (entry,) = job_entries([STARTED], facts, 1_767_225_600_000_000)
    assert (entry.gate, entry.action) == (GATE, "webhook")
    return Job.parse(entry.payload.encode())


def test_a_job_has_the_fields_of_its_attempt() -> None:
    job = parsed(None)
    assert (job.gate, job.tenant_id, job.contact_id, job.execution_id) == (
        GATE,
        "acme",
        "ann",
        "e-1",
    )
    assert (job.step_id, job.visit, job.attempt, job.key) == ("hello", 1, 2, "the-key")
    assert (job.connection, job.hops) == ("crm", 4)
    assert job.config == {"body": {"name": "{{ contact.first_name }}"}}


def test_templates_see_the_contact_with_its_attributes() -> None:
    contact = Contact(
        email="a@example.com", attributes={"first_name": "Ann"}, tags=[Tag("1", "VIP")]
    )
    assert parsed(contact).variables["contact"] == {
        "id": "ann",
        "email": "a@example.com",
        "first_name": "Ann",
        "tags": ["VIP"],
    }


def test_an_attribute_cannot_take_the_place_of_a_field() -> None:
    contact = Contact(email="a@example.com", attributes={"email": "b@example.com", "id": "eve"})
    found = parsed(contact).variables["contact"]
    assert (found["id"], found["email"]) == ("ann", "a@example.com")


def test_an_unknown_contact_has_its_id() -> None:
    assert parsed(None).variables["contact"] == {"id": "ann"}


def test_templates_see_the_workflow() -> None:
    assert parsed(None).variables["workflow"] == {"id": "w", "name": "Welcome"}


def test_only_templates_that_name_the_start_of_an_execution_need_it() -> None:
    using = STARTED._replace(config='{"text": "{{ execution.attributes.code }}"}')
    assert (STARTED.needs_start, using.needs_start) == (False, True)
