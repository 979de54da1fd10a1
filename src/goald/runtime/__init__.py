"""The daemon: its processes, its jobs, its HTTP server, and the choice of adapters."""
