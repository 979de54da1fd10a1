"""Every statement of the outbox but its INSERT, which is part of a commit."""

UNPUBLISHED = """
SELECT number, stream, payload FROM goald.outbox
WHERE published_at IS NULL AND slot BETWEEN $1 AND $2 ORDER BY number
"""

MARK_PUBLISHED = """
UPDATE goald.outbox
SET published_at = now(), payload = CASE WHEN is_to_be_blanked THEN '' ELSE payload END
WHERE number = ANY ($1::int8[]) AND (published_at IS NULL) IS TRUE
"""
"""Marks once, and blanks what was waiting for that since its contact was deleted."""

FORGET_PUBLISHED = """
WITH gone AS (
    DELETE FROM goald.outbox
    WHERE published_at < now() - $1::float8 * interval '1 second' AND slot BETWEEN $2 AND $3
    RETURNING 1
) SELECT count(*) FROM gone
"""
