"""The path of an event, as plain objects without I/O: no Ray, Redis or Postgres.

`flow.py` shows the whole path; `ingest`, `shard` and `outbox` contain its stages. `poison` handles
events that cannot be processed, and `early_events.py` handles early events.
"""
