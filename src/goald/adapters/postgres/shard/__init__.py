"""The durable state of a range of slots, and its leases."""
