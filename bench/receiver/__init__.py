"""Throughput of the receiver of webhooks."""
