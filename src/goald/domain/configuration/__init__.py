"""The configuration of a tenant: workflows, goals, their criteria and the catalog."""
