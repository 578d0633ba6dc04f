"""How the server would go about our statements: by an index, reading what they give."""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from types import ModuleType
from typing import Any, Final
from uuid import uuid4

from agentpool.doctor.report import Finding, Places, broken, note, ok
from agentpool.doctor.server.visit import PASSING, Visit
from agentpool.stores.postgres import content, statements
from agentpool.stores.postgres.pipeline import ServerError, Statement

__all__ = ("check_plans", "complaints")

_PARAMETER: Final = re.compile(r"\$(\d+)")
_OF_ALL_POOLS: Final = (statements.POOLS,)
"""What goes through a whole table, as it has to."""


_NO_RIGHT: Final = "42501"
_UNIQUE: Final = """
    SELECT relname, indnkeyatts FROM pg_index JOIN pg_class c ON c.oid = indexrelid
    WHERE indisunique AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
"""


def check_plans(visit: Visit) -> Iterator[Finding]:
    """Look at the plan of every statement, as our sessions would have it."""
    found, refused, seen = Places(), Places(), 0
    unique = {name: int(width) for name, width in visit.ask(_UNIQUE, visit.schema)}
    for name, statement in chain(_statements(statements), _statements(content)):
        try:
            plan = _plan(visit, statement)
        except ServerError as error:
            if error.state in PASSING:
                raise
            visit.begin_again()
            if error.state != _NO_RIGHT:  # which another check tells
                refused.add(f"{name.lstrip('_')}: {error}")
            continue
        seen += 1
        for complaint in complaints(plan, unique):
            found.add(f"{name.lstrip('_')}: {complaint}")
    yield from _said(found, refused, seen)


def _said(found: Places, refused: Places, seen: int) -> Iterator[Finding]:
    advice = "create the indexes that are missing, drop those that are others'"
    if refused:
        yield broken("plans", f"statements that cannot be carried out: {refused}", advice)
    if found:
        yield note("plans", f"statements that read more than they give: {found}", advice)
    elif not refused:
        yield ok("plans", f"{seen} statements go by an index")


def _statements(module: ModuleType) -> Iterator[tuple[str, Statement]]:
    for name, value in vars(module).items():
        if isinstance(value, Statement) and "@." in value.sql and value not in _OF_ALL_POOLS:
            yield name, value


def _plan(visit: Visit, statement: Statement) -> dict[str, Any]:
    """Ask for the plan that a session would keep, whatever its parameters are.

    :raises ServerError: it cannot be carried out
    """
    count = max(map(int, _PARAMETER.findall(statement.sql)), default=0)
    given = f"({', '.join(['NULL'] * count)})" if count else ""
    name = f"agentpool_{uuid4().hex}"  # a pooler may keep what was prepared
    visit.ask(f"PREPARE {name} AS {statement.sql}")
    [[plan]] = visit.ask(f"EXPLAIN (FORMAT JSON) EXECUTE {name}{given}")
    visit.pipeline.ask(Statement(f"DEALLOCATE {name}"))
    found: dict[str, Any] = json.loads(plan)[0]["Plan"]
    return found


def complaints(plan: dict[str, Any], unique: Mapping[str, int]) -> Iterator[str]:
    """Say what of a plan reads more than is asked for.

    :param unique: the unique indexes, with how many columns each has
    """
    kind, table = plan["Node Type"], plan.get("Relation Name", "")
    if kind in {"Seq Scan", "Bitmap Heap Scan"}:
        yield f"{kind} of {table}"
    elif table and "Filter" in plan and not _is_point(plan, unique):
        yield f"looks through {table} for {plan['Filter']}"
    elif kind in {"Sort", "Incremental Sort"} and not _is_bounded(plan):
        yield f"sorts by {', '.join(plan['Sort Key'])}"
    for below in plan.get("Plans", ()):
        yield from complaints(below, unique)


def _is_point(plan: dict[str, Any], unique: Mapping[str, int]) -> bool:
    """Say whether a node finds one row at most, whatever it leaves out then."""
    given = plan.get("Index Cond", "").count(" = ")
    return bool(given) and unique.get(plan.get("Index Name", "")) == given


def _is_bounded(plan: dict[str, Any]) -> bool:
    """Say whether what a node is given has been limited before."""
    below = plan.get("Plans", ())
    return plan["Node Type"] in {"Limit", "Function Scan"} or any(map(_is_bounded, below))
