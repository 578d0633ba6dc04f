"""Where the store of a proof is: a file, or a schema of its own on a server."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Unpack
from uuid import uuid4

from agentpool.opening import StoreOptions, open_store
from agentpool.stores.base import AgentPoolStore
from agentpool.support.opening import Opening

__all__ = ("Site", "new_site")


@dataclass(frozen=True)
class Site:
    """A place that processes can tell each other, as text.

    :ivar where: a path, or a URL
    :ivar schema: of the store on a server; empty of a file
    """

    where: str
    schema: str = ""

    @classmethod
    def read(cls, text: str) -> "Site":
        """Read what `str` has made of a place."""
        if not text.startswith(("postgresql://", "postgres://")):
            return cls(text)
        where, _, schema = text.rpartition(" ")
        return cls(where, schema)

    def __str__(self) -> str:
        return f"{self.where} {self.schema}" if self.schema else self.where

    def open(self, **options: Unpack[StoreOptions]) -> Opening[AgentPoolStore]:
        """Open the store; see `open_store`."""
        if self.schema:
            options["schema"] = self.schema
        return open_store(self.where, **options)


@contextmanager
def new_site(folder: Path, url: str | None = None) -> Iterator[Site]:
    """Find a place where there is no store yet.

    :param folder: for a file
    :param url: of a server instead; what was made there is gone afterwards
    """
    if url is None:
        yield Site(str(folder / "pool.db"))
        return
    site = Site(url, f"agentpool_{uuid4().hex}")
    try:
        yield site
    finally:
        # By name: those who have no server do without.
        with import_module("psycopg").connect(url, autocommit=True) as session:
            session.execute(f'DROP SCHEMA IF EXISTS "{site.schema}" CASCADE')
