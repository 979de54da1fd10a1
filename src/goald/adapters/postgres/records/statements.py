"""The statements that single enrollments and achievements are read by.

All run as goald_api and see the one tenant of their transaction. $1 tenant, $2 workflow,
$3 from and $4 before a time, $5 the time and $6 the id of the row that the page begins
behind, $7 how many. Newest first: ids part those of one time.

None of $3 to $6 is null, and no COALESCE stands around them: row security keeps an index
from what it does not know to be discreet, and it does not know that.
"""

IN_ORDER = "SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off"
"""Before a list that an index has in its order, for this transaction: the planner guesses how
few rows lie behind a place, and would rather read and sort all that it takes for few."""

_ENROLLMENT = """
id, workflow_id, contact_id, status, goald.us(enrolled_at) AS enrolled_at,
goald.us(ended_at) AS ended_at, met_goals, pending_actions, cancelled_actions,
goald.us(exit_acknowledged_at) AS exit_acknowledged_at
"""

_ENROLLED = """
enrolled_at >= goald.at($3) AND enrolled_at < goald.at($4)
AND (enrolled_at, id COLLATE "POSIX") < (goald.at($5), $6::text)
"""
"""Byte by byte, as "C" is: by this name the index has it (see 0008)."""

ENROLLMENTS = f"""
SELECT e.* FROM unnest($8::text[]) AS wanted(status) CROSS JOIN LATERAL (
    SELECT {_ENROLLMENT}
    FROM goald.workflow_enrollments
    WHERE tenant_id = $1 AND workflow_id = $2 AND status = wanted.status COLLATE "POSIX"
      AND {_ENROLLED}
    ORDER BY workflow_enrollments.enrolled_at DESC, id COLLATE "POSIX" DESC LIMIT $7
) e
ORDER BY e.enrolled_at DESC, e.id DESC LIMIT $7
"""
"""After IN_ORDER. $8: the statuses. Each has its own part of the index, and gives at most a
page: no more is read than that, however many enrollments the workflow has."""

ENROLLMENTS_OF_CONTACT = f"""
SELECT {_ENROLLMENT}
FROM goald.workflow_enrollments
WHERE tenant_id = $1 AND workflow_id = $2 AND status = ANY ($8::text[]) AND contact_id = $9
  AND {_ENROLLED}
ORDER BY workflow_enrollments.enrolled_at DESC, id DESC LIMIT $7
"""
"""Reads what the contact has, which is little."""

_ACHIEVEMENT = """
id, workflow_id, workflow_enrollment_id, contact_id, goal_config_id, goal_type,
goald.us(achieved_at) AS achieved_at, goald.us(recorded_at) AS recorded_at, trigger_event,
metadata
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
"""After IN_ORDER. Where the rows end that `achievements_among` looks at ($7: one less than these
are); none where there are fewer."""

ACHIEVEMENT_FILTERS = {
    "contact_id": "contact_id = ${}",
    "goal_type": "goal_type = ${}",
    "goal_id": "goal_config_id = ${}::uuid",
    "enrollment_id": "workflow_enrollment_id = ${}",
}


def achievements(filters: list[str]) -> str:
    """The statement with these filters, whose values follow as $8 and on. One for each
    choice of them, so that each has a plan of its own: a contact's and an enrollment's
    achievements are found by their indexes; all of the workflow's, after IN_ORDER, by its."""
    return _ACHIEVEMENTS.format(filters="".join(f" AND {one}" for one in _filters(filters, 8)))


def achievements_among(filters: list[str]) -> str:
    """The statement with filters that no index knows, at least one, after IN_ORDER. $8: how
    many of the workflow's rows are looked at; the filters' values follow as $9 and on."""
    return _ACHIEVEMENTS_AMONG.format(filters=" AND ".join(_filters(filters, 9)))


def _filters(names: list[str], first: int) -> list[str]:
    return [ACHIEVEMENT_FILTERS[name].format(n) for n, name in enumerate(names, first)]


IS_KNOWN = """
SELECT EXISTS (SELECT FROM goald.workflows WHERE tenant_id = $1 AND id = $2)
    OR EXISTS (SELECT FROM goald.workflow_days WHERE tenant_id = $1 AND workflow_id = $2)
"""
"""Whether there is such a workflow, or was ever an enrollment in it (E5)."""

LISTENING = """
SELECT coalesce(w.is_active, false) AS is_active, coalesce(w.config_version, 0) AS version,
    (SELECT coalesce(sum(enrolled - completed_goal - completed - exited - cancelled), 0)::bigint
     FROM goald.workflow_days WHERE tenant_id = $1 AND workflow_id = $2) AS enrollments,
    (SELECT count(*) FROM goald.leases
     WHERE slots IS NOT NULL AND expires_at > now()) AS live,
    (SELECT count(*) FROM goald.leases
     WHERE slots IS NOT NULL AND expires_at > now()
       AND config_version >= coalesce(w.config_version, 0)) AS ready
FROM (SELECT) AS one LEFT JOIN goald.workflows w ON w.tenant_id = $1 AND w.id = $2
"""
"""One row, whether the workflow is there or not. The enrollments are counted by days, of a
hundred years at most, in the transactions that change them: none is read."""

LISTENING_GOALS = """
SELECT id, goal_type FROM goald.workflow_goals
WHERE tenant_id = $1 AND workflow_id = $2 AND is_active AND deleted_at IS NULL
ORDER BY position
"""
