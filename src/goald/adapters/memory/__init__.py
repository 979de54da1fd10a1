"""The ports, in memory: for tests, and for trying the pipeline without any service."""
