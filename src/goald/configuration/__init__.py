"""Changes of tenants' configurations: one service for `goald apply` and for the API."""
