"""The executions of a range of slots, in Postgres."""
