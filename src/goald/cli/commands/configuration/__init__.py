"""Commands that read and change the configuration of a tenant."""
