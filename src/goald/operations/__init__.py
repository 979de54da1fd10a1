"""The operations on a running goald, as services over ports.

The commands of `goald.cli` call these services; `goald.runtime.wiring.operations` connects them
to Redis and Postgres. They print nothing and know no adapter.
"""
