"""The store and the pool that are meant, and the run that acts.

Nothing is created or migrated on the way: a store that is not there, or of an older version, and a
pool that is not there, are refused.
"""

import re
from argparse import Namespace
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from agentpool import AgentPool, AgentPoolMember, MemberHandle, PoolNotOpenError, open_store
from agentpool.cli.printing import Printer
from agentpool.errors import IncompatibleStoreError, InvalidValueError
from agentpool.opening import StoreOptions
from agentpool.stores.base import AgentPoolStore
from agentpool.support.places import url_of

__all__ = (
    "BY_INIT",
    "a_pool",
    "a_store",
    "in_words_of_shells",
    "looked_at",
    "member_for",
    "run_of",
    "tell_if_absent",
    "where",
)

BY_INIT: Final = "`agentpool init` makes a store, and brings an older one to this version"

_MOST_NAMED: Final = 5
_BY_OPTION: Final = re.compile(r"; [^;]*\b(?:create|migrate)=(?:True|False)[^;]*$")
"""How the library ends what it says of a store that is not there, or is of an older version."""


def where(options: Namespace) -> str:
    """Say which store is meant.

    :raises InvalidValueError: none is, or one that nobody else sees
    """
    if not options.store:
        msg = "which store? give --store PATH_OR_URL, or set AGENTPOOL_STORE"
        raise InvalidValueError(msg)
    url = url_of(options.store)
    if url is not None and url.scheme == "memory":
        msg = "memory: a store in memory ends with the call that made it; name a file or a server"
        raise InvalidValueError(msg)
    return str(options.store)


@contextmanager
def in_words_of_shells(remedy: str = BY_INIT) -> Iterator[None]:
    """Say of a store that is not there, or is older, what a shell can do, and no program."""
    try:
        yield
    except IncompatibleStoreError as error:
        error.message = _BY_OPTION.sub(f"; {remedy}", error.message)
        raise


@asynccontextmanager
async def a_store(options: Namespace) -> AsyncGenerator[AgentPoolStore]:
    """Open the store, as it is."""
    how = StoreOptions(create=False, migrate=False)
    if options.schema:
        how["schema"] = options.schema
    with in_words_of_shells():
        async with open_store(where(options), **how) as store:
            yield store


@asynccontextmanager
async def looked_at(options: Namespace) -> AsyncGenerator[AgentPool]:
    """Give the pool to look at: by this nothing is carried out that is due, nor anything else."""
    async with a_store(options) as store:
        yield AgentPool(store, await _pool_of(store, options.pool))


@asynccontextmanager
async def a_pool(options: Namespace) -> AsyncGenerator[AgentPool]:
    """Open the pool to act, or to wait, in it; meanwhile what is due is carried out."""
    async with (
        a_store(options) as store,
        AgentPool.open(store, await _pool_of(store, options.pool)) as pool,
    ):
        yield pool


async def _pool_of(store: AgentPoolStore, named: str | None) -> str:
    there = sorted(await store.pool_ids())
    if named in there:
        return named
    if named is None and len(there) == 1:
        return there[0]
    more = ", ..." if len(there) > _MOST_NAMED else ""
    has = f"it has {', '.join(there[:_MOST_NAMED])}{more}" if there else "it has none"
    if named is None and there:
        msg = f"which pool of the store? give --pool ID, or set AGENTPOOL_POOL; {has}"
        raise InvalidValueError(msg)
    msg = f"there is no such pool in the store; {has}. `agentpool init` makes one"
    raise PoolNotOpenError(msg, pool_id=named)


def run_of(options: Namespace) -> str:
    """Say which run is meant.

    :raises InvalidValueError: none is
    """
    if not options.run:
        msg = "which run? give --as RUN, or set AGENTPOOL_RUN"
        raise InvalidValueError(msg)
    return str(options.run)


async def tell_if_absent(pool: AgentPool, run_id: str, out: Printer) -> None:
    """Say so where a run is no member: nothing comes for it, and its name may be wrong."""
    if not await pool.store.query(pool.pool_id, lambda view: run_id in view.state.members):
        out.say(f"{run_id} is no member of {pool.pool_id}; until it is, nothing comes for it")


async def member_for(pool: AgentPool, options: Namespace, out: Printer) -> MemberHandle:
    """Give the run that acts: as what it has joined already, else it joins, and stays.

    Whoever holds the run goes on doing so.
    """
    run_id = run_of(options)
    member = await pool.store.query(pool.pool_id, lambda view: view.state.members.get(run_id))
    if member is None:
        member = AgentPoolMember(run_id, options.agent)
        await pool.join_run(member)
        out.say(f"{run_id} has joined {pool.pool_id} as {member.agent_id}, and stays")
    return pool.acting_as(member)
