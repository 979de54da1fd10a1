"""Leader election, and the policy for taking over leases."""
