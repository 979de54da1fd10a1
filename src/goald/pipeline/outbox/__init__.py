"""From the outbox to the outbound streams."""
