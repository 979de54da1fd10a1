"""The configuration of tenants, in memory."""
