"""Measurements of the store, each beside a baseline of the same run. See README.md."""
