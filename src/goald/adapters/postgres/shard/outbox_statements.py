"""The statements of the outbox, except its INSERT, which is part of a commit."""

PAGE_ROWS = 1_000
PAGE_BYTES = 4 << 20
DELETE_ROWS = 5_000

_BOUNDED = f"""
SELECT number, stream, payload FROM (
    SELECT number, stream, payload,
           sum(octet_length(payload)) OVER (ORDER BY number) - octet_length(payload) AS before
    FROM ({{page}}) AS page
) AS summed
WHERE before < {PAGE_BYTES} ORDER BY number
"""
"""The rows of a page that fit into PAGE_BYTES, and at least one."""

UNPUBLISHED = """
WITH waiting AS MATERIALIZED (
    SELECT number FROM goald.outbox
    WHERE published_at IS NULL AND slot BETWEEN $1 AND $2
)
""" + _BOUNDED.format(
    page=f"""
        SELECT number, stream, payload FROM goald.outbox
        WHERE number IN (
            SELECT number FROM waiting WHERE number > $3 ORDER BY number LIMIT {PAGE_ROWS})
        ORDER BY number
        """
)
"""Finds the few unpublished rows by their index, even if the statistics of the table are stale.
A scan in the order of numbers would read all published rows."""

IN_ORDER_OF_NUMBERS = "SET LOCAL enable_sort = off"
"""For PUBLISHED: each page continues along the primary key from the end of the previous page. With
the index of times, every page would sort all rows."""

PUBLISHED = _BOUNDED.format(
    page=f"""
    SELECT number, stream, payload FROM goald.outbox
    WHERE number > $3 AND slot BETWEEN $1 AND $2 AND payload <> ''
      AND published_at BETWEEN goald.at($4) AND goald.at($5)
    ORDER BY number LIMIT {PAGE_ROWS}
    """
)

LAST_PUBLISHED = """
SELECT coalesce(max(number), 0) FROM goald.outbox
WHERE published_at IS NOT NULL AND contact_id IS NOT NULL AND slot BETWEEN $1 AND $2
"""
"""Among rows about contacts. Rows about a configuration may be published by the process that
changed it."""

MARK_PUBLISHED = """
UPDATE goald.outbox
SET published_at = now(), payload = CASE WHEN redact_when_published THEN '' ELSE payload END
WHERE number = ANY ($1::int8[]) AND (published_at IS NULL) IS TRUE
"""
"""Marks a row unless it is marked already, and redacts its payload if its contact was deleted
meanwhile."""

DUE_EXITS = f"""
SELECT o.number, o.stream, o.payload,
       e.exit_acknowledged_at IS NULL AND o.payload <> ''
           AND o.created_at > now() - $4::float8 * interval '1 second' AS is_waiting
FROM goald.outbox o
LEFT JOIN goald.workflow_enrollments e ON e.tenant_id = o.tenant_id AND e.id = o.enrollment_id
WHERE o.enrollment_id IS NOT NULL AND o.slot BETWEEN $1 AND $2
  AND o.published_at < now() - $3::float8 * interval '1 second'
ORDER BY o.published_at LIMIT {PAGE_ROWS}
"""
"""Exits published more than $3 seconds ago, waiting or not. CLEAR_WAITING removes an exit that no
longer waits from the index, so that it is read once."""

CLEAR_WAITING = "UPDATE goald.outbox SET enrollment_id = NULL WHERE number = ANY ($1::int8[])"
"""These exits are never published again."""

MARK_REPUBLISHED = """
UPDATE goald.outbox
SET published_at = now(), payload = CASE WHEN redact_when_published THEN '' ELSE payload END
WHERE number = ANY ($1::int8[]) AND (published_at IS NOT NULL) IS TRUE
"""
"""Sets the time of publication to now."""

DELETE_PUBLISHED = f"""
WITH deleted AS (
    DELETE FROM goald.outbox WHERE number = ANY (ARRAY(
        SELECT number FROM goald.outbox
        WHERE published_at < now() - $1::float8 * interval '1 second' AND slot BETWEEN $2 AND $3
          AND (enrollment_id IS NULL OR created_at <= now() - $4::float8 * interval '1 second')
        ORDER BY published_at LIMIT {DELETE_ROWS}))
    RETURNING 1
) SELECT count(*) FROM deleted
"""
"""Deletes at most DELETE_ROWS, the oldest first, so that it stays within the statement timeout.
Keeps exits that wait for an acknowledgement for $4 seconds."""
