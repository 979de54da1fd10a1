"""Who may take a lease, and which instance is the leader."""
