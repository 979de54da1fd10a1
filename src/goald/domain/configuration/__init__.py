"""The configuration of a tenant: workflows, goals, criteria and the catalog."""
