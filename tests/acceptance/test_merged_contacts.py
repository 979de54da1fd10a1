"""Feature: contacts that the platform merges (E21)."""

from tests.acceptance.scenario import Scenario

TAGGED = ("tag_added", {"tag_name": "Customer"})


def test_the_run_of_a_merged_contact_exits_for_an_event_of_the_other(scenario: Scenario) -> None:
    """In both shards: contacts with many ids."""
    scenario.workflow("nurture", "Nurture", TAGGED)
    runs = {}
    for number in range(8):
        old, new = f"old-{number}", f"new-{number}"
        runs[new] = scenario.enrolled(old, "nurture")
        scenario.happens("contact.merged", old, into_contact_id=new)
    for new, enrollment in runs.items():
        tagged = scenario.happens("contact.tag.added", new, tag_name="Customer")
        assert scenario.assert_exited_by(tagged, enrollment).contact_id == new


def test_what_names_the_old_id_is_about_the_contact_that_continues(scenario: Scenario) -> None:
    scenario.workflow("nurture", "Nurture", TAGGED)
    enrollment = scenario.enrolled("old", "nurture")
    scenario.happens("contact.updated", "old", email="ada@example.com", opted_in=False)
    scenario.happens("contact.merged", "old", into_contact_id="middle")
    scenario.happens("contact.merged", "middle", into_contact_id="new")

    contact = scenario.get("/contacts/old")
    assert (contact["contact_id"], contact["opted_in"]) == ("new", False)
    listed = scenario.get("/workflows/nurture/enrollments", contact_id="old")["items"]
    assert [(each["id"], each["contact_id"]) for each in listed] == [(enrollment, "new")]
    event = {
        "type": "contact.tag.added",
        "data": {"contact_id": "old", "tag_name": "Customer"},
    }
    explained = scenario.client.post("/api/v1/explain", json=event).json()
    assert [each["matched"] for each in explained["enrollments"]] == [True]
    path = f"/api/v1/workflows/nurture/enrollments/{enrollment}/end"
    answer = scenario.client.post(path, json={"reason": "exited", "contact_id": "old"})
    assert answer.status_code == 202, answer.text
    scenario.daemon.until_lag_zero()
    assert scenario.status_of(enrollment) == "exited"
    again = {"contact_id": "old", "enrollment_id": enrollment}
    answer = scenario.client.post("/api/v1/workflows/nurture/enrollments", json=again)
    assert (answer.status_code, "use a new enrollment_id" in answer.text) == (409, True)


def test_deleting_the_old_id_leaves_the_run(scenario: Scenario) -> None:
    scenario.workflow("nurture", "Nurture", TAGGED)
    enrollment = scenario.enrolled("old", "nurture")
    scenario.happens("contact.merged", "old", into_contact_id="new")
    scenario.happens("contact.deleted", "old")
    assert scenario.status_of(enrollment) == "active"
    tagged = scenario.happens("contact.tag.added", "old", tag_name="Customer")
    assert scenario.assert_exited_by(tagged, enrollment).contact_id == "new"
