"""Every statement of the outbox but its INSERT, which is part of a commit."""

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
"""Of a page, as many rows as fit, and at least one."""

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
"""Finds the few by the index of what is not published, whatever the table's statistics say:
in the order of numbers it would pass over all that is."""

IN_ORDER_OF_NUMBERS = "SET LOCAL enable_sort = off"
"""For PUBLISHED, which has many pages: each begins in the key where the one before ended. By
the index of times it would sort all of them for each page."""

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
"""Of those about contacts: others may have been published by who changed a configuration."""

MARK_PUBLISHED = """
UPDATE goald.outbox
SET published_at = now(), payload = CASE WHEN redact_when_published THEN '' ELSE payload END
WHERE number = ANY ($1::int8[]) AND (published_at IS NULL) IS TRUE
"""
"""Marks once, and blanks what was waiting for that since its contact was deleted."""

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
"""Those published so long ago, whether they still wait or not: WAIT_NO_LONGER takes the others
out of their index, so that each is looked at once."""

WAIT_NO_LONGER = "UPDATE goald.outbox SET enrollment_id = NULL WHERE number = ANY ($1::int8[])"

MARK_REPUBLISHED = """
UPDATE goald.outbox
SET published_at = now(), payload = CASE WHEN redact_when_published THEN '' ELSE payload END
WHERE number = ANY ($1::int8[]) AND (published_at IS NOT NULL) IS TRUE
"""

DELETE_PUBLISHED = f"""
WITH gone AS (
    DELETE FROM goald.outbox WHERE number = ANY (ARRAY(
        SELECT number FROM goald.outbox
        WHERE published_at < now() - $1::float8 * interval '1 second' AND slot BETWEEN $2 AND $3
          AND (enrollment_id IS NULL OR created_at <= now() - $4::float8 * interval '1 second')
        ORDER BY published_at LIMIT {DELETE_ROWS}))
    RETURNING 1
) SELECT count(*) FROM gone
"""
"""The oldest; never so many that it takes longer than a statement may. Exits that wait to be
acknowledged stay, for so long."""
