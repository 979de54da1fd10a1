"""Credentials of tenants: webhooks with their grants, encrypted values, weak secrets."""
