"""The arrows between the modules point one way."""

import ast
from graphlib import TopologicalSorter

import pytest
from package_tree import imports, is_below, modules

BASE = """
    errors ids refs event_kinds events filters records snapshot replay open_wakes command rules
    _codec _strict _payload _wire
"""
PURE = [
    *BASE.split(),
    *sorted(
        name.removeprefix("agentpool.")
        for name in modules()
        if is_below(name, "agentpool.coordination")
    ),
]
COORDINATOR = ["pool", "operations", "member", "inbox", "hub", "keeper"]

IMPURE = """
    asyncio anyio sqlite3 aiosqlite time datetime os pathlib io socket threading random tempfile
    subprocess multiprocessing concurrent logging
"""
ONLY_CONVERTS = {"coordination.record_events": "datetime"}
"""What may use an impure module, for what is pure in it."""

IN_MEMORY = [
    "agentpool.stores.memory",
    "agentpool.stores.memory_pool",
    "agentpool.stores.row_table",
]
ON_SQLITE = ["agentpool.stores.sqlite"]
DOCTOR = "agentpool.doctor"
FAULTS = "agentpool.testing.faults"
PROOFS = [FAULTS, "agentpool.testing.history", "agentpool.testing.model"]
FILES = {"sqlite3", "aiosqlite", "os", "pathlib", "io", "socket", "tempfile", "subprocess"}


def users_of(package: str) -> set[str]:
    """List the modules that import a package or something in it."""
    return {
        name
        for name, used in imports().items()
        if any(is_below(module, package) for module in used)
    }


def roots_of(module: str) -> set[str]:
    """List the top-level packages that a module imports."""
    return {used.partition(".")[0] for used in imports()[f"agentpool.{module}"]}


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_knows_no_clock_no_loop_no_file(name: str) -> None:
    assert roots_of(name) & set(IMPURE.split()) <= {ONLY_CONVERTS.get(name, "")} - {""}


@pytest.mark.parametrize("name", ONLY_CONVERTS)
def test_a_time_is_written_out_but_never_asked_for(name: str) -> None:
    used = {
        node.attr
        for node in ast.walk(modules()[f"agentpool.{name}"])
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in {"datetime", "date"}
    }
    assert used == {"fromtimestamp"}


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_uses_pure_modules_only(name: str) -> None:
    ours = {module for module in imports()[f"agentpool.{name}"] if is_below(module, "agentpool")}
    assert ours <= {f"agentpool.{pure}" for pure in PURE}


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_waits_for_nothing(name: str) -> None:
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncWith)
    found = [
        node.name if isinstance(node, ast.AsyncFunctionDef) else type(node).__name__
        for node in ast.walk(modules()[f"agentpool.{name}"])
        if isinstance(node, waiting)
    ]
    assert found == (["replay"] if name == "replay" else [])  # reads what its caller gives it


@pytest.mark.parametrize("name", COORDINATOR)
def test_the_coordinator_knows_no_file_and_no_concrete_store(name: str) -> None:
    assert roots_of(name).isdisjoint(FILES)
    stores = {used for used in imports()[f"agentpool.{name}"] if is_below(used, "agentpool.stores")}
    assert stores <= {"agentpool.stores.base"}


@pytest.mark.parametrize("name", COORDINATOR)
def test_only_the_package_itself_and_its_tests_know_the_coordinator(name: str) -> None:
    users = {
        user for user in users_of(f"agentpool.{name}") if not is_below(user, "agentpool.testing")
    }
    assert users <= {"agentpool", *(f"agentpool.{other}" for other in COORDINATOR)}


def test_one_module_knows_aiosqlite() -> None:
    assert users_of("aiosqlite") == {"agentpool.stores.sqlite.connection"}


def test_only_the_store_on_sqlite_and_those_who_examine_it_know_sqlite() -> None:
    users = users_of("sqlite3")
    for package in (*ON_SQLITE, DOCTOR, FAULTS):
        assert any(is_below(module, package) for module in users)
        users = {module for module in users if not is_below(module, package)}
    assert users == set()


def test_nobody_needs_the_doctor_but_the_command_line() -> None:
    users = {user for user in users_of(DOCTOR) if not is_below(user, DOCTOR)}
    assert users == {"agentpool.__main__"}


@pytest.mark.parametrize("store", [IN_MEMORY, ON_SQLITE], ids=["memory", "sqlite"])
def test_nobody_but_the_package_itself_knows_a_concrete_store(store: list[str]) -> None:
    users = set().union(*map(users_of, store))
    insiders = [*store, DOCTOR, *PROOFS] if store is ON_SQLITE else [*store, *PROOFS]
    outside = {user for user in users if not any(is_below(user, part) for part in insiders)}
    assert outside == {"agentpool"}


def test_the_parts_of_a_store_are_known_to_that_store_only() -> None:
    assert users_of("agentpool.stores.memory_pool") == {"agentpool.stores.memory"}
    assert users_of("agentpool.stores.row_table") == {"agentpool.stores.memory_pool"}
    parts = {name for name in modules() if is_below(name, "agentpool.stores")}
    whole = {"agentpool.stores", "agentpool.stores.base", *IN_MEMORY}
    assert {name for name in parts if not is_below(name, "agentpool.stores.sqlite")} == whole


def test_nothing_is_imported_inside_a_function() -> None:
    hidden = {
        name
        for name, tree in modules().items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        if any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(function))
    }
    assert hidden == set()


def test_no_import_goes_in_a_circle() -> None:
    ours = {name: used & modules().keys() for name, used in imports().items()}
    assert set(TopologicalSorter(ours).static_order()) == set(modules())


def test_nothing_of_the_library_needs_its_tests() -> None:
    assert all(is_below(module, "agentpool.testing") for module in users_of("agentpool.testing"))
    assert all(is_below(module, "agentpool.testing") for module in users_of("pytest"))
