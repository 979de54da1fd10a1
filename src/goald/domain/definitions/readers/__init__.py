"""Readers of the parts of a definition: each returns what it can read, and collects all faults."""
