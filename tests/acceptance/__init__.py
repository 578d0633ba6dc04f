"""Tests of what a newcomer meets first: the README, the examples and the package."""
