"""The arrows between the folders point one way: this is the whole architecture, in one table."""

import ast
import re
from graphlib import TopologicalSorter

import pytest
from package_tree import imports, is_below, modules

LAYERS = {
    "errors": "",
    "support": "errors",
    "wire": "errors support",
    "rules": "wire errors support",
    "stores": "rules wire errors support",
    "stores.batch": "stores rules wire errors support",
    "stores.sqlite": "stores stores.batch rules wire errors support",
    "stores.postgres": "stores stores.batch rules wire errors support",
    "runtime": "stores rules wire errors support",
    "inbox": "runtime stores rules wire errors support",
    "asking": "runtime stores rules wire errors support",
    "serving": "inbox runtime stores rules wire errors support",
    "member": "asking serving inbox runtime stores rules wire errors support",
    "membership": "member runtime stores rules wire errors support",
    "pool": "membership member asking inbox runtime stores rules wire errors support",
    "opening": "pool member asking inbox runtime stores stores.sqlite rules wire errors support",
    "copying": "stores stores.batch rules wire errors support",
    "doctor": "stores stores.batch stores.sqlite rules wire errors support",
    "doctor.server": "doctor stores stores.batch stores.postgres rules wire errors support",
    "testing": "* doctor opening pool membership member asking serving inbox runtime stores"
    " stores.batch stores.sqlite rules wire errors support",
    "faces": "* runtime rules wire errors support",
    "mcp": "* faces runtime stores rules wire errors support",
    "otel": "pool runtime stores stores.sqlite rules wire errors support",
    "cli": "* faces copying opening pool doctor stores stores.sqlite rules wire errors support",
    "web": "* cli faces doctor pool stores stores.sqlite rules wire errors support",
    "__main__": "cli",
    "": "opening pool member asking inbox runtime stores stores.sqlite rules wire errors support",
}
"""Each folder, or module of the root, with those that it may import. ``*`` is the root itself."""

PURE = ["wire", "rules"]
ALLOWED = {
    "wire": "errors",
    "rules": "errors wire",
}
"""What the pure layers may use of ours."""

IMPURE = {
    *("asyncio", "anyio", "sqlite3", "aiosqlite", "time", "datetime", "os", "pathlib", "io"),
    *("socket", "threading", "random", "tempfile", "subprocess", "multiprocessing"),
    *("concurrent", "logging"),
}
ONLY_CONVERTS = {"agentpool.rules.record_events": "datetime"}
"""What may use an impure module, for what is pure in it."""

HANDS = ["pool", "membership", "member", "asking", "serving", "inbox", "runtime"]
FILES = {"sqlite3", "aiosqlite", "os", "pathlib", "io", "socket", "tempfile", "subprocess"}


def layer_of(module: str) -> str:
    """Name the layer of a module of ours: the longest entry of the table that it lies in."""
    inside = module.removeprefix("agentpool").removeprefix(".")
    return max((name for name in LAYERS if is_below(inside, name)), key=len, default="")


def in_layer(layer: str) -> list[str]:
    return sorted(name for name in modules() if layer_of(name) == layer)


def ours(module: str) -> set[str]:
    return {used for used in imports()[module] if is_below(used, "agentpool")}


def roots_of(module: str) -> set[str]:
    """List the top-level packages that a module imports."""
    return {used.partition(".")[0] for used in imports()[module]}


def users_of(package: str) -> set[str]:
    """List the modules that import a package or something in it."""
    return {
        name
        for name, used in imports().items()
        if any(is_below(module, package) for module in used)
    }


def test_every_module_is_in_a_layer_and_every_layer_is_there() -> None:
    assert {layer_of(name) for name in modules()} == set(LAYERS)
    assert in_layer("") == ["agentpool"]


@pytest.mark.parametrize("module", sorted(modules()))
def test_a_module_uses_the_layers_below_it_only(module: str) -> None:
    own = layer_of(module)
    allowed = {own, *LAYERS[own].replace("*", "").split()}
    roots = {"agentpool"} if "*" in LAYERS[own].split() else set()
    assert {layer_of(used) for used in ours(module) - roots} <= allowed


PURE_MODULES = [module for layer in PURE for module in in_layer(layer)]


@pytest.mark.parametrize("module", PURE_MODULES)
def test_a_pure_module_knows_no_clock_no_loop_no_file(module: str) -> None:
    assert roots_of(module) & IMPURE <= {ONLY_CONVERTS.get(module, "")} - {""}
    assert {layer_of(used) for used in ours(module)} - {layer_of(module)} <= set(
        ALLOWED[layer_of(module)].split()
    )


@pytest.mark.parametrize("module", ONLY_CONVERTS)
def test_a_time_is_written_out_but_never_asked_for(module: str) -> None:
    used = {
        node.attr
        for node in ast.walk(modules()[module])
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in {"datetime", "date"}
    }
    assert used == {"fromtimestamp"}


@pytest.mark.parametrize("module", PURE_MODULES)
def test_a_pure_module_waits_for_nothing(module: str) -> None:
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncWith)
    found = [
        node.name if isinstance(node, ast.AsyncFunctionDef) else type(node).__name__
        for node in ast.walk(modules()[module])
        if isinstance(node, waiting)
    ]
    # `replay` reads what its caller gives it.
    assert found == (["replay"] if module == "agentpool.rules.replay" else [])


@pytest.mark.parametrize("module", [each for layer in HANDS for each in in_layer(layer)])
def test_what_users_hold_knows_no_file(module: str) -> None:
    assert roots_of(module).isdisjoint(FILES)


def test_one_module_knows_aiosqlite() -> None:
    assert users_of("aiosqlite") == {"agentpool.stores.sqlite.connection"}


def test_only_the_store_on_sqlite_and_those_who_examine_it_know_sqlite() -> None:
    users = users_of("sqlite3")
    for package in ("agentpool.stores.sqlite", "agentpool.doctor", "agentpool.testing.faults"):
        assert any(is_below(module, package) for module in users)
        users = {module for module in users if not is_below(module, package)}
    assert users == set()


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
    graph = {name: used & modules().keys() for name, used in imports().items()}
    assert set(TopologicalSorter(graph).static_order()) == set(modules())


def test_nothing_of_the_library_needs_its_tests() -> None:
    assert all(is_below(module, "agentpool.testing") for module in users_of("agentpool.testing"))
    assert all(is_below(module, "agentpool.testing") for module in users_of("pytest"))


def test_what_a_module_lists_as_its_own_is_all_that_others_use() -> None:
    listed = {name: set(listed_in(tree)) for name, tree in modules().items()}
    hidden = {
        f"{node.module}.{alias.name}, in {name}"
        for name, tree in modules().items()
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module in listed
        for alias in node.names
        if f"{node.module}.{alias.name}" not in listed and alias.name not in listed[node.module]
    }
    assert hidden == set()


def listed_in(tree: ast.Module) -> list[str]:
    """Give the ``__all__`` of a module."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name("__all__")], value=value):
                names: list[str] = list(ast.literal_eval(value))
                return names
    return []


PACKAGES = {name.rpartition(".")[0] for name in modules() if "." in name}
UNMAPPED = {
    *("agentpool", "agentpool.otel"),
    *("agentpool.testing", "agentpool.testing.conformance", "agentpool.testing.faults"),
}
"""Folders that tell what is in them in other ways, or are of a few files."""


@pytest.mark.parametrize("package", sorted(PACKAGES - UNMAPPED))
def test_the_map_of_a_folder_names_all_that_is_in_it_and_nothing_else(package: str) -> None:
    inside = {
        name.removeprefix(f"{package}.").partition(".")[0]
        for name in modules()
        if name.startswith(f"{package}.")
    }
    _, table, _ = re.split(
        r"^=+ =+$", ast.get_docstring(modules()[package]) or "", flags=re.MULTILINE
    )
    assert {each for each in inside if f"`{each}`" not in table} == set()
    first = [line.partition("  ")[0] for line in table.splitlines()]
    assert {each for line in first for each in re.findall(r"`(\w+)`", line)} <= inside
