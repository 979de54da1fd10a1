"""HTTP mechanics: routing, bodies, errors, pages, versions and idempotency."""
