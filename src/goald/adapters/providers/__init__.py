"""Providers of actions: HTTP, files of e-mails, and changes of contacts."""
