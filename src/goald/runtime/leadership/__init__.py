"""Leader election between instances, and the takeover of leases."""
