"""Hostile clients of the API, and what they cost others."""
