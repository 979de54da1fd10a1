"""The configuration of tenants."""
