"""In-memory implementations of the ports, for tests without Redis or Postgres."""
