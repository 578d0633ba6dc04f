"""Where the pages find what they show: a store that is open, and its pools."""

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from starlette.exceptions import HTTPException

from agentpool import AgentPool
from agentpool.rules.command import PoolView
from agentpool.stores.base import AgentPoolStore, Bulk
from agentpool.support.places import file_of, without_secrets
from agentpool.web.examining import Examining
from agentpool.web.survey import Survey

__all__ = ("Inside", "ask")

R = TypeVar("R")
_MOST_SURVEYS: Final = 16


class Inside:
    """What the pages of one store share.

    :ivar place: where the store is, in words
    :ivar file: the file that it is, where it is one
    :ivar examining: the doctor, who looks at it
    """

    def __init__(self, store: AgentPoolStore, place: str, schema: str | None = None) -> None:
        self.store: Final = store
        self.place: Final = without_secrets(place)
        self.file: Final = file_of(place)
        self.examining: Final = Examining(place, schema)
        self._surveys: dict[str, Survey] = {}

    async def pool(self, pool_id: str) -> AgentPool:
        """Give a pool to look at: by this nothing is carried out that is due, nor anything else.

        :raises HTTPException: there is no such pool
        """
        if pool_id not in await self.store.pool_ids():
            raise HTTPException(404, "there is no such pool in the store")
        return await self.known(pool_id)

    async def known(self, pool_id: str) -> AgentPool:
        """Give a pool that the store has named, to look at as well."""
        return AgentPool(await self.store.store_of(pool_id), pool_id)

    def survey(self, pool: AgentPool) -> Survey:
        """Give what is known of the members of a pool."""
        if pool.pool_id not in self._surveys and len(self._surveys) >= _MOST_SURVEYS:
            del self._surveys[next(iter(self._surveys))]
        return self._surveys.setdefault(pool.pool_id, Survey(partial(ask, pool)))


async def ask(pool: AgentPool, question: Callable[[PoolView], R]) -> R:
    """Ask something about a pool; what others wait for goes first."""
    return await pool.store.query(pool.pool_id, Bulk(question))
