"""Fixtures of the tests of tracing."""

from .fixtures import ada, bob, pool, reader, spans

__all__ = ("ada", "bob", "pool", "reader", "spans")
