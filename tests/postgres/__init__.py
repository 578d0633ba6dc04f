"""Tests against a PostgreSQL server of their own, and what they stand on."""
