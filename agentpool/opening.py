"""Opening by a path or a URL: a store, or a store and a pool in it, in one ``async with``."""

import os
import re
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from importlib import import_module
from typing import Any, Final, NamedTuple, TypeAlias, TypedDict, Unpack, cast

from agentpool.errors import IncompatibleStoreError, InvalidValueError, shown
from agentpool.pool import AgentPool, opened
from agentpool.rules.pool_opening import config_of
from agentpool.rules.requirements import checked_sequence, require_flag
from agentpool.stores.base import AgentPoolStore
from agentpool.stores.memory import InMemoryAgentPoolStore
from agentpool.stores.sharded import ShardedAgentPoolStore
from agentpool.stores.sqlite import SqliteAgentPoolStore
from agentpool.stores.sqlite.opening import Synchronous
from agentpool.support.clock import Clock, checked_clock, wall_clock
from agentpool.support.opening import Opening
from agentpool.support.places import url_of, without_secrets
from agentpool.wire.content import MAX_BODY, checked_max_body
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import (
    AgentPoolMessagePolicy,
    AgentPoolStoreConfig,
    AgentPoolWakePolicy,
)
from agentpool.wire.refs import PolicyRef

__all__ = ("FileOptions", "StoreOptions", "open_pool", "open_store")


Path: TypeAlias = str | os.PathLike[str]


class FileOptions(TypedDict, total=False):
    """How to open a store on a file; `SqliteAgentPoolStore.open` explains each."""

    synchronous: Synchronous
    busy_timeout: float
    allow_unsafe_mount: bool
    allow_foreign_tables: bool
    clock: Clock
    max_body: int
    create: bool
    migrate: bool


class StoreOptions(FileOptions, total=False):
    """How to open a store of any kind.

    One in memory has ``clock``, ``max_body`` and ``create`` only; one on a server these,
    ``migrate``, ``busy_timeout`` and the following, which `PostgresAgentPoolStore.open` explains.
    """

    schema: str
    listen: bool
    listen_url: str


def open_store(
    path: Path | Sequence[Path], **options: Unpack[StoreOptions]
) -> Opening[AgentPoolStore]:
    """Open a store by a path or a URL, or one of several: ``async with`` or ``await`` it.

    ``"pool.db"`` and ``"sqlite:///pool.db"`` are a file in the working folder,
    ``"sqlite:////srv/pool.db"`` is one by its full path, ``"memory:"`` is a new store in memory,
    ``"postgresql://user@host/db"`` is one on a server (extra ``postgres``). Of a list each pool is
    in one, which its id and the order of the list decide (`ShardedAgentPoolStore`), and they have
    the same options. Cancelled, it leaves nothing open.

    :param path: where the store is, or where the stores are
    :param options: those that a store of this kind has, see `StoreOptions`; ``create=False``
        refuses a store that is not there, ``migrate=False`` one of an older version
    :raises InvalidValueError: the path, the URL or an option is none
    :raises IncompatibleStoreError: what is there is no store, or nothing is there and it is not to
        be created, or the extra that it needs is not installed
    :raises AgentPoolError: as `SqliteAgentPoolStore.open` says
    """
    return Opening(_any_opener(path, options), "open_store", "store")


def open_pool(
    path: Path | Sequence[Path],
    pool_id: str,
    *,
    message_policy: AgentPoolMessagePolicy | None = None,
    wake_policy: AgentPoolWakePolicy | None = None,
    policy_refs: Sequence[PolicyRef] = (),
    **options: Unpack[StoreOptions],
) -> Opening[AgentPool]:
    """Open a store and a pool in it; the pool has the store as ``pool.store``.

    The end of the block, or ``await pool.aclose()``, closes both, and of several stores all.
    Cancelled, or refused, it leaves nothing open.

    :param path: where the store is, see `open_store`
    :param pool_id: the pool; see `AgentPool.open` for its policies
    :param options: see `open_store`
    :raises PoolConfigConflictError: the pool was opened before with other policies
    :raises AgentPoolError: as `open_store` says
    """
    check_identifier(pool_id, "pool_id")
    config = config_of(message_policy, wake_policy, policy_refs)
    open_both = partial(_open_both, _any_opener(path, options), pool_id, config)
    return Opening(open_both, "open_pool", "pool")


_OpenStore: TypeAlias = Callable[[], Coroutine[Any, Any, AgentPoolStore]]


async def _open_both(
    open_: _OpenStore, pool_id: str, config: AgentPoolStoreConfig | None
) -> AgentPool:
    store = await open_()
    try:
        return await opened(store, pool_id, config, closes=store)
    except BaseException:
        await store.aclose()
        raise


def _any_opener(path: Path | Sequence[Path], options: StoreOptions) -> _OpenStore:
    if issubclass(type(path), (list, tuple)):
        return _list_opener(cast("Sequence[Path]", path), options)
    return _opener(cast("Path", path), options)


def _list_opener(paths: Sequence[Path], options: StoreOptions) -> _OpenStore:
    each_of = cast("tuple[Path, ...]", checked_sequence(paths, "path", object))
    openers = [_opener(each, options) for each in each_of]
    places = [os.fspath(each) for each in each_of]
    if not places or len(set(places)) < len(places):
        named = [without_secrets(each) for each in places]
        msg = f"path: expected stores, each once, got {shown(named)}"
        raise InvalidValueError(msg)
    clock, max_body = options.get("clock", wall_clock), options.get("max_body", MAX_BODY)

    async def open_() -> AgentPoolStore:
        return await ShardedAgentPoolStore.open(openers, clock, max_body)

    return open_


# --- kinds of stores


class _Scheme(NamedTuple):
    """A kind of store by the scheme of its URL.

    :ivar opener: makes of what follows the scheme, and of the options, what opens the store
    :ivar options: the names of the options that it has
    """

    opener: Callable[[str, StoreOptions], _OpenStore]
    options: frozenset[str]


def _opener(path: Path, options: StoreOptions) -> _OpenStore:
    """Find out what kind of store it is, and check all that can be checked without it."""
    url = url_of(path)
    if url is None:
        _refuse_parameters(path)
        _refuse_others(options, "a file", _ON_FILE)
        return _file(path, options)
    if url.scheme not in _SCHEMES:
        there = ", ".join(_SCHEMES)
        msg = f"path: there is no store of scheme {shown(url.scheme)}; there are {there}"
        raise InvalidValueError(msg)
    kind = _SCHEMES[url.scheme]
    _refuse_others(options, f"a store of scheme {url.scheme!r}", kind.options)
    return kind.opener(url.rest, options)


def _refuse_parameters(path: Path) -> None:
    """Refuse a server as libpq also takes it, or its password would be in the name of a file."""
    if type(path) is str and _PARAMETERS.fullmatch(path):
        msg = "path: this names no file; write a server as postgresql://user@host/database"
        raise InvalidValueError(msg)


_PARAMETERS: Final = re.compile(
    r"\s*(?=\w+\s*=)(?:.*\s)?(?:host|hostaddr|dbname|user|password|service)\s*=.*", re.DOTALL
)


def _refuse_others(options: StoreOptions, of: str, known: frozenset[str]) -> None:
    for name in options:
        if name not in known:
            msg = f"{name}: {of} has no such option; it has {', '.join(sorted(known))}"
            raise InvalidValueError(msg)


def _file(path: Path, options: StoreOptions) -> _OpenStore:
    return _opens(SqliteAgentPoolStore.open(path, **cast("FileOptions", options)))


def _opens(opening: Awaitable[AgentPoolStore]) -> _OpenStore:
    async def open_() -> AgentPoolStore:
        return await opening

    return open_


def _sqlite(rest: str, options: StoreOptions) -> _OpenStore:
    path = rest.removeprefix("///")
    if path in {"", rest}:
        msg = (
            f"path: 'sqlite:{rest}' names no file; write sqlite:///pool.db, or sqlite:////srv/pool.db"
            " for a full path"
        )
        raise InvalidValueError(msg)
    if "?" in path:
        msg = "path: a URL has no options here; give them by name, as in synchronous='NORMAL'"
        raise InvalidValueError(msg)
    return _file(path, options)


def _memory(rest: str, options: StoreOptions) -> _OpenStore:
    if rest not in {"", "//"}:
        msg = f"path: 'memory:{rest}' is none; a store in memory has no name: write 'memory:'"
        raise InvalidValueError(msg)
    create = options.get("create", True)
    require_flag(create, "create")
    if not create:
        msg = "memory: a store in memory is always new; leave out create=False"
        raise IncompatibleStoreError(msg)
    clock = checked_clock(options.get("clock", wall_clock))
    max_body = checked_max_body(options.get("max_body", MAX_BODY))

    async def open_() -> AgentPoolStore:
        return InMemoryAgentPoolStore(clock=clock, max_body=max_body)

    return open_


def _postgres(rest: str, options: StoreOptions) -> _OpenStore:
    # Only now: it needs a package that few have, and takes as long to load as all of ours.
    try:
        module = import_module("agentpool.stores.postgres")
    except ImportError as error:
        msg = f"postgresql: it needs the extra 'postgres' (pip install '...[postgres]'): {error}"
        raise IncompatibleStoreError(msg) from error
    return _opens(module.PostgresAgentPoolStore.open(f"postgresql:{rest}", **options))


_IN_MEMORY: Final = frozenset({"clock", "max_body", "create"})
_ON_FILE: Final = frozenset(FileOptions.__annotations__)
_SERVER: Final = _IN_MEMORY | {"migrate", "busy_timeout", "schema", "listen", "listen_url"}

_SCHEMES: Final = {
    "sqlite": _Scheme(_sqlite, _ON_FILE),
    "memory": _Scheme(_memory, _IN_MEMORY),
    "postgresql": _Scheme(_postgres, _SERVER),
    "postgres": _Scheme(_postgres, _SERVER),
}
