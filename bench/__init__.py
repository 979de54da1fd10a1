"""Benchmarks. Each prints its results."""
