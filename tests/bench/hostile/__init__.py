"""Hostile inputs by the thousand: `python -m tests.bench.hostile` counts what goes wrong."""
