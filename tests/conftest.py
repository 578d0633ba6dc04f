"""What all tests share. The conformance suite's assertions explain themselves like our own."""

import pytest

pytest.register_assert_rewrite("agentpool.testing")

from hypothesis import HealthCheck, settings  # noqa: E402  # after the rewrite is registered

settings.register_profile(
    "agentpool", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("agentpool")
