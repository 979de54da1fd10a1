"""Signature schemes: one verifier for each way in which providers authenticate a webhook."""
