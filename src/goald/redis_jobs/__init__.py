"""The jobs of actions in Redis, for workers: those of goald, and those of applications.

Next to the adapters, because `goald.client` uses it too. It needs redis-py only.
"""
