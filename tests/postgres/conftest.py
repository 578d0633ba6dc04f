"""Without the package that speaks to servers, none of these tests can even be loaded."""

from importlib.util import find_spec

HAS_DRIVER = find_spec("psycopg") is not None

collect_ignore_glob = [] if HAS_DRIVER else ["test_*.py"]


def pytest_report_header() -> str | None:
    missing = "tests/postgres are left out: they need the extra 'postgres-test'"
    return None if HAS_DRIVER else missing
