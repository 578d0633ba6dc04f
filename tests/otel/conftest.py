"""Fixtures of the tests of tracing, where that can be loaded."""

import os
from importlib.util import find_spec

if find_spec("opentelemetry") and find_spec("opentelemetry.sdk"):
    from .fixtures import ada, bob, pool, reader, spans

    __all__ = ("ada", "bob", "pool", "reader", "spans")
elif os.environ.get("AGENTPOOL_NEEDS_OTEL") != "1":
    collect_ignore_glob = ["*.py"]
