"""Secrets at rest: their encryption, and the store in which a rotation re-encrypts them."""
