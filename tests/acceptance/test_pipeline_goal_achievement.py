"""Feature: Goal Achievement - Pipeline Stage Reached (R7)."""

from tests.acceptance.scenario import Scenario

CLOSED_WON = ("pipeline_stage_reached", {"pipeline_id": "pipe-123", "stage_id": "stage-789"})


def test_contact_reaches_target_pipeline_stage(scenario: Scenario) -> None:
    """Scenario: Contact reaches target pipeline stage."""
    scenario.workflow("sales-pipeline", "Sales Pipeline Automation", CLOSED_WON)
    enrollment = scenario.enrolled("grace-taylor-id", "sales-pipeline")
    # The right stage of another pipeline, and another stage of the right one.
    for pipeline, stage in (("pipe-124", "stage-789"), ("pipe-123", "stage-788")):
        scenario.happens(
            "pipeline.stage.changed", "grace-taylor-id", pipeline_id=pipeline, stage_id=stage
        )
    scenario.assert_still_in(enrollment)

    moved = scenario.happens(
        "pipeline.stage.changed",
        "grace-taylor-id",
        pipeline_id="pipe-123",
        stage_id="stage-789",
        previous_stage_id="stage-788",
    )
    workflow_exit = scenario.assert_exited_by(moved, enrollment)
    assert workflow_exit.goal_type == "pipeline_stage_reached"


def test_event_without_a_pipeline_reaches_the_stage(scenario: Scenario) -> None:
    """The test event of the scenarios' own test data names a stage and no pipeline (E2)."""
    scenario.workflow("sales-pipeline", "Sales Pipeline Automation", CLOSED_WON)
    enrollment = scenario.enrolled("grace-taylor-id", "sales-pipeline")
    moved = scenario.happens("pipeline.stage.changed", "grace-taylor-id", stage_id="stage-789")
    scenario.assert_exited_by(moved, enrollment)
