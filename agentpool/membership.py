"""Being a member for the length of a block: join, heartbeat, leave."""

import logging
from collections.abc import Generator
from contextlib import suppress
from secrets import token_hex
from types import TracebackType
from typing import Any

from agentpool.errors import (
    AgentPoolError,
    NotAMemberError,
    StoreBusyError,
    StoreClosedError,
)
from agentpool.member import MemberHandle
from agentpool.rules.claims import ClaimTerms
from agentpool.rules.holding import EndHolding, Holding
from agentpool.rules.membership import HoldRun
from agentpool.rules.requirements import require_flag, require_type
from agentpool.runtime.opened import OpenedPool
from agentpool.support.clock import positive_millis
from agentpool.support.opening import Unopened
from agentpool.support.process import process_name
from agentpool.support.tasks import uninterrupted
from agentpool.wire.records import AgentPoolMember

__all__ = ("Membership",)

_LOG = logging.getLogger("agentpool")


class Membership(Unopened):
    """A run that is a member for the length of an ``async with`` block.

    Or from ``me = await pool.member(...)`` to ``await me.aclose()``, or to the closing of the pool.
    """

    remedy: str = "write `async with pool.member(...) as me:`, or `me = await pool.member(...)`"

    def __init__(
        self,
        pool: OpenedPool,
        member: AgentPoolMember,
        lease: float | None,
        terms: ClaimTerms,
        *,
        rejoin: bool,
        stays: bool,
    ) -> None:
        require_type(member, AgentPoolMember, "member")
        require_flag(rejoin, "rejoin")
        require_flag(stays, "stays")
        self._pool = pool
        self._member = member
        self._lease = None if lease is None else positive_millis(lease, "lease")
        self._terms = terms
        self._rejoin = rejoin
        self._stays = stays

    def __await__(self) -> Generator[Any, None, MemberHandle]:
        return self._enter().__await__()

    async def _enter(self) -> MemberHandle:
        handle = await self.__aenter__()
        self._pool.entered.add(self._end)
        return handle

    async def __aenter__(self) -> MemberHandle:
        self._ended = False
        self._holding = Holding(
            self._member, token_hex(8), process_name(), self._lease, self._rejoin, self._stays
        )
        self._held = self._pool.held_by(self._holding)
        self._handle = MemberHandle(self._held, self._member, self._terms, self._end)
        try:
            await self._pool.execute(HoldRun(self._holding))
        except BaseException as error:
            await self._leave(error)  # cancelled, it may have joined
            raise
        self._pool.heartbeats.add_holding(self._pool.pool_id, self._holding, self._held.lost)
        return self._handle

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._end(exc_value)

    async def _end(self, ended_by: BaseException | None = None) -> None:
        if self._ended:
            return
        self._pool.store.refuse_elsewhere()
        self._ended = True
        self._pool.entered.discard(self._end)
        self._pool.heartbeats.remove_holding(self._pool.pool_id, self._holding)
        await self._leave(ended_by)
        if not self._held.lost.closed:
            msg = f"run {self._member.run_id!r} is not a member: its block has ended"
            self._held.lost.close(NotAMemberError(msg, pool_id=self._pool.pool_id))

    async def _leave(self, ended_by: BaseException | None) -> None:
        """Leave, whatever ended the block: that is worth more than an error in leaving."""
        try:
            await uninterrupted(self._let_go())
        except AgentPoolError as error:
            if ended_by is None and self._lease is None and not self._stays:
                raise  # nothing else would ever let the run leave
            run_id = self._member.run_id
            fields = {"action": "leaving_failed", "pool_id": self._pool.pool_id, "run_id": run_id}
            words = "run %r did not leave, its lease runs out: %s"
            _LOG.warning(words, run_id, error, extra=fields)

    async def _let_go(self) -> None:
        try:
            await self._handle.let_go()
        except StoreBusyError:
            raise  # leaving would wait for the same, as long
        except AgentPoolError:
            pass  # then its claims run out
        with suppress(StoreClosedError):  # its lease will run out
            await self._pool.conclude(EndHolding(self._holding))
