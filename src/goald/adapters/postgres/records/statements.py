"""The statements that read lists of enrollments and achievements, newest first.

All execute as goald_api and see the one tenant of their transaction. $1: tenant. $2: workflow.
$3 and $4: the first time (inclusive) and the last (exclusive). $5 and $6: time and id of the row
that the page follows. $7: the number of rows.

$3 to $6 are never null and need no COALESCE: under row security an index is not used for an
expression with a function that is not leakproof, and COALESCE of a parameter is such a one.
"""

IN_ORDER = "SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off"
"""Makes the transaction read a list in the order of its index. The planner underestimates the rows
behind a position, and would read and sort all of them."""

_ENROLLMENT = """
id, workflow_id, contact_id, status, goald.us(enrolled_at) AS enrolled_at,
goald.us(ended_at) AS ended_at, met_goals, pending_actions, cancelled_actions,
goald.us(exit_acknowledged_at) AS exit_acknowledged_at, match_values,
goald.us(met_after_end_at) AS met_after_end_at
"""

_ENROLLED = """
enrolled_at >= goald.at($3) AND enrolled_at < goald.at($4)
AND (enrolled_at, id COLLATE "POSIX") < (goald.at($5), $6::text)
"""
"""Byte order, as with "C"; the index uses this name (see 0008)."""

ENROLLMENTS = f"""
SELECT e.* FROM unnest($8::text[]) AS requested(status) CROSS JOIN LATERAL (
    SELECT {_ENROLLMENT}
    FROM goald.workflow_enrollments
    WHERE tenant_id = $1 AND workflow_id = $2 AND status = requested.status COLLATE "POSIX"
      AND {_ENROLLED}
    ORDER BY workflow_enrollments.enrolled_at DESC, id COLLATE "POSIX" DESC LIMIT $7
) e
ORDER BY e.enrolled_at DESC, e.id DESC LIMIT $7
"""
"""Execute after IN_ORDER. $8: the statuses. Reads at most one page for each status, however many
enrollments the workflow has."""

ENROLLMENTS_OF_CONTACT = f"""
SELECT {_ENROLLMENT}
FROM goald.workflow_enrollments
WHERE tenant_id = $1 AND workflow_id = $2 AND status = ANY ($8::text[]) AND contact_id = $9
  AND {_ENROLLED}
ORDER BY workflow_enrollments.enrolled_at DESC, id DESC LIMIT $7
"""
"""Reads the enrollments of the contact, which are few."""

_ACHIEVEMENT = """
id, workflow_id, workflow_enrollment_id, contact_id, goal_config_id, goal_type,
goald.us(achieved_at) AS achieved_at, goald.us(recorded_at) AS recorded_at, trigger_event,
metadata, after_end
"""

_ACHIEVED = """
FROM goald.workflow_goal_achievements
WHERE tenant_id = $1 AND workflow_id = $2
  AND achieved_at >= goald.at($3) AND achieved_at < goald.at($4)
  AND (achieved_at, id) < (goald.at($5), $6::uuid)
"""
_NEWEST_FIRST = "ORDER BY workflow_goal_achievements.achieved_at DESC, id DESC"

_ACHIEVEMENTS = f"SELECT {_ACHIEVEMENT} {_ACHIEVED} {{filters}} {_NEWEST_FIRST} LIMIT $7"

_ACHIEVEMENTS_AMONG = f"""
SELECT {_ACHIEVEMENT} FROM (SELECT * {_ACHIEVED} {_NEWEST_FIRST} LIMIT $8) AS scanned
WHERE {{filters}} LIMIT $7
"""

ACHIEVEMENTS_SCANNED_TO = f"""
SELECT goald.us(achieved_at), id {_ACHIEVED} {_NEWEST_FIRST} LIMIT 1 OFFSET $7
"""
"""Execute after IN_ORDER. The position of the last row that `achievements_among` scans ($7: the
number of scanned rows minus one); no row if there are fewer."""

ACHIEVEMENT_FILTERS = {
    "contact_id": "contact_id = ${}",
    "goal_type": "goal_type = ${}",
    "goal_id": "goal_config_id = ${}::uuid",
    "enrollment_id": "workflow_enrollment_id = ${}",
}


def achievements(filters: list[str]) -> str:
    """The statement with these filters, whose values are $8 and following.

    Each combination is a statement with its own plan: achievements of a contact or an enrollment
    are found by their indexes; those of a workflow, after IN_ORDER, by its index.
    """
    return _ACHIEVEMENTS.format(
        filters="".join(f" AND {condition}" for condition in _filters(filters, 8))
    )


def achievements_among(filters: list[str]) -> str:
    """The statement with at least one filter that has no index; execute it after IN_ORDER.

    $8: the number of rows of the workflow to scan. The values of the filters are $9 and
    following.
    """
    return _ACHIEVEMENTS_AMONG.format(filters=" AND ".join(_filters(filters, 9)))


def _filters(names: list[str], first: int) -> list[str]:
    return [ACHIEVEMENT_FILTERS[name].format(n) for n, name in enumerate(names, first)]


IS_KNOWN = """
SELECT EXISTS (
    SELECT FROM goald.workflows WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL)
    OR EXISTS (SELECT FROM goald.workflow_days WHERE tenant_id = $1 AND workflow_id = $2)
"""
"""Whether the workflow is configured, or ever had an enrollment (E5)."""

LISTENING = """
SELECT coalesce(w.is_active, false) AS is_active, coalesce(w.config_version, 0) AS version,
    (SELECT coalesce(sum(enrolled - completed_goal - completed - exited - cancelled), 0)::bigint
     FROM goald.workflow_days WHERE tenant_id = $1 AND workflow_id = $2) AS enrollments,
    (SELECT count(*) FROM goald.leases
     WHERE slots IS NOT NULL AND expires_at > now()) AS live,
    (SELECT count(*) FROM goald.leases
     WHERE slots IS NOT NULL AND expires_at > now()
       AND config_version >= coalesce(w.config_version, 0)) AS ready
FROM (SELECT) AS one_row LEFT JOIN goald.workflows w
    ON w.tenant_id = $1 AND w.id = $2 AND w.deleted_at IS NULL
"""
"""One row, also for an unknown workflow. Sums the daily rollups, of at most a hundred years, and
reads no enrollments."""

LISTENING_GOALS = """
SELECT id, goal_type FROM goald.workflow_goals
WHERE tenant_id = $1 AND workflow_id = $2 AND is_active AND deleted_at IS NULL
ORDER BY position
"""
"""The active goals of a workflow."""
