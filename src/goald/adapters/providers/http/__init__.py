"""Calls of tenants' URLs."""
