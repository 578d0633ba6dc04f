"""Stores: the contract in `base`, and those that keep it."""
