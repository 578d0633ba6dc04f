"""What all tests share. The conformance suite's assertions explain themselves like our own."""

import os
import runpy
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

pytest.register_assert_rewrite("agentpool.testing")

HAS_DRIVER: Final = find_spec("psycopg") is not None
ON_SERVER: Final = [
    *("postgres/test_*.py", "conformance/test_postgres.py"),
    *("cli/test_postgres.py", "web/test_on_server.py"),
]
"""Without the package that speaks to servers, most of these cannot even be loaded."""

HAS_WEB: Final = all(map(find_spec, ("starlette", "uvicorn", "httpx", "websockets")))
ON_PAGE: Final = ["web"] if os.environ.get("AGENTPOOL_NEEDS_WEB") != "1" else []
"""Likewise without those that serve the page, and ask for it; unless they have to be there."""

collect_ignore_glob = [
    *([] if HAS_DRIVER else ON_SERVER),
    *([] if HAS_WEB else ON_PAGE),
]

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


def pytest_report_header() -> list[str]:
    said = []
    if not HAS_DRIVER:
        said.append(
            "tests on a PostgreSQL server are left out: they need the extra 'postgres-test'"
        )
    if not HAS_WEB:
        said.append("tests of the live page are left out: they need the extra 'web-test'")
    return said


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.name in LONG:
            item.add_marker(pytest.mark.slow)
