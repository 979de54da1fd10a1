"""Hostile clients of the API, and their cost for other clients."""
