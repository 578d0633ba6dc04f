"""The arrows between the modules point one way."""

import ast
from graphlib import TopologicalSorter

import pytest
from package_tree import imports, is_below, modules

PURE = """
    errors ids refs event_kinds events filters records snapshot replay rules
    _codec _strict _payload _wire
"""

IMPURE = """
    asyncio anyio sqlite3 aiosqlite time datetime os pathlib io socket threading random tempfile
    subprocess multiprocessing concurrent logging
"""

CONCRETE = ["agentpool.stores.memory", "agentpool.stores.sqlite"]


def users_of(package: str) -> set[str]:
    """List the modules that import a package or something in it."""
    return {
        name
        for name, used in imports().items()
        if any(is_below(module, package) for module in used)
    }


@pytest.mark.parametrize("name", PURE.split())
def test_a_pure_module_knows_no_clock_no_loop_no_file(name: str) -> None:
    used = {module.partition(".")[0] for module in imports()[f"agentpool.{name}"]}
    assert used.isdisjoint(IMPURE.split())


@pytest.mark.parametrize("name", PURE.split())
def test_a_pure_module_uses_pure_modules_only(name: str) -> None:
    ours = {module for module in imports()[f"agentpool.{name}"] if is_below(module, "agentpool")}
    assert ours <= {f"agentpool.{pure}" for pure in PURE.split()}


def test_one_module_knows_aiosqlite() -> None:
    assert users_of("aiosqlite") == {"agentpool.stores.sqlite.connection"}


def test_only_the_store_on_sqlite_knows_sqlite() -> None:
    assert all(is_below(module, "agentpool.stores.sqlite") for module in users_of("sqlite3"))
    assert users_of("sqlite3")


@pytest.mark.parametrize("store", CONCRETE)
def test_nobody_but_the_package_itself_knows_a_concrete_store(store: str) -> None:
    outside = {module for module in users_of(store) if not is_below(module, store)}
    assert outside == {"agentpool"}


def test_no_store_knows_another() -> None:
    assert not any(is_below(module, CONCRETE[0]) for module in users_of(CONCRETE[1]))
    assert not any(is_below(module, CONCRETE[1]) for module in users_of(CONCRETE[0]))


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
