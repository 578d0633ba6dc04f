"""What all tests share. The conformance suite's assertions explain themselves like our own."""

import os
import runpy
import signal
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

import pytest

pytest.register_assert_rewrite("agentpool.testing")

# A shell has what it starts in the background ignore interrupts, and that would be handed on to the
# processes which tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Needs(NamedTuple):
    """Tests that can only be loaded where an extra is installed.

    :ivar packages: what the extra brings
    """

    what: str
    extra: str
    packages: tuple[str, ...]
    tests: tuple[str, ...]

    @property
    def has_all(self) -> bool:
        return all(find_spec(each) is not None for each in self.packages)

    @property
    def must_be_there(self) -> bool:
        name = self.extra.removesuffix("-test").upper()
        return os.environ.get(f"AGENTPOOL_NEEDS_{name}") == "1"


NEEDS: Final = [
    Needs(
        "on a PostgreSQL server",
        "postgres-test",
        ("psycopg",),
        (
            "postgres/test_*.py",
            *(f"{folder}/test_postgres.py" for folder in ("conformance", "cli", "hosts")),
            *(f"{folder}/test_on_server.py" for folder in ("otel", "web")),
        ),
    ),
    Needs("of hosts that speak MCP", "mcp", ("mcp",), ("hosts",)),
    Needs(
        "of the live page",
        "web-test",
        ("starlette", "uvicorn", "httpx", "websockets"),
        ("web",),
    ),
    Needs("of tracing", "otel-test", ("opentelemetry", "opentelemetry.sdk"), ("otel",)),
]
MISSING: Final = [each for each in NEEDS if not each.has_all]

collect_ignore_glob = [tests for each in MISSING for tests in each.tests]

pytest_plugins = ["postgres.fixtures"]

from hypothesis import HealthCheck, settings  # noqa: E402  # after the rewrite is registered

settings.register_profile(
    "agentpool", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("agentpool")

LOOPS: Final = Path(__file__).parent / "loops"
"""Where `AGENTPOOL_LOOP` is heeded: by this process, and by every one that it starts."""

if "AGENTPOOL_LOOP" in os.environ:
    runpy.run_path(str(LOOPS / "sitecustomize.py"))
    os.environ["PYTHONPATH"] = f"{LOOPS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"

LONG: Final = frozenset(
    {
        "test_a_call_cancelled_as_it_resumes_has_its_whole_effect_or_none",
        "test_a_call_cancelled_as_it_waits_has_its_whole_effect_or_none",
        "test_a_cancelled_call_has_its_whole_effect_or_none_and_can_be_repeated",
        "test_a_cancelled_snapshot_of_a_long_log_leaves_no_half_state",
        "test_a_cancelled_wait_until_leaves_no_wait_behind",
        "test_a_long_past_is_searched_to_its_end",
        "test_a_subscription_goes_on_after_a_record_without_loss_or_repetition",
        "test_a_subscription_is_whole_however_long_the_past_is",
        "test_an_inbox_behaves_like_its_model",
        "test_reading_a_long_log_comes_to_its_end_or_is_refused",
        "test_whatever_is_in_flight_comes_to_its_end_or_is_refused",
    }
)
"""Tests of the conformance suite that take long; it knows no runner of tests itself."""


def pytest_configure() -> None:
    for each in MISSING:
        if each.must_be_there:
            msg = f"the extra {each.extra!r} has to be installed, and is not"
            raise pytest.UsageError(msg)


def pytest_report_header() -> list[str]:
    return [
        f"tests {each.what} are left out: they need the extra {each.extra!r}" for each in MISSING
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.name in LONG:
            item.add_marker(pytest.mark.slow)
