"""How tenants' configurations are changed: one service, for `goald apply` and the API alike."""
