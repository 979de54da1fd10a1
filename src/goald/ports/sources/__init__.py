"""Sources of tenants."""
