"""The way of an event, as plain objects that know no Ray, Redis or Postgres.

`flow.py` shows the whole way. `ingest`, `shard` and `outbox` hold its steps, `poison` what happens
to events that cannot be processed, and `early_events.py` everything about early events.
"""
