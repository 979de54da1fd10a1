"""Every metric of goald: name, type, labels and help.

Each process has its own registry and sends a snapshot of it with its heartbeat. The exporter
serves all snapshots with the labels `role` and `index`, so a process that hangs cannot hang a
scrape. No label contains a tenant, contact or workflow. Counters appear with the suffix `_total`.
"""
