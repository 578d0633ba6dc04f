"""Waits that outlive a call, and the server: wakes of the pool.

A wait for an event, or for a member, is a wake for it. That mail can be taken is no event: such a
wait is a wake for an event of its own id, which whoever sees the mail publishes.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from typing import Final, TypeVar

from msgspec.structs import replace

from agentpool import (
    AgentPoolStoredWake,
    EventCursor,
    EventFilter,
    EventKind,
    WakeCondition,
    WakeRegistrationStatus,
    include,
)
from agentpool.errors import InvalidTransitionError, InvalidValueError, shown
from agentpool.mcp.answers import Answer, listed
from agentpool.mcp.arguments import Wait
from agentpool.mcp.seat import Seat
from agentpool.mcp.standing import Standing, began_at, going_on, kind_of, withdrawn_if_left
from agentpool.rules.command import PoolView
from agentpool.rules.history import end_of_events
from agentpool.runtime.drafts import fresh_id
from agentpool.support.clock import millis
from agentpool.support.tasks import move_on_after
from agentpool.wire.struct import Include

__all__ = ("Wakes",)

T = TypeVar("T")

_WHY: Final = {
    WakeRegistrationStatus.TIMED_OUT: "the time is up",
    WakeRegistrationStatus.CANCELLED: "it was cancelled",
    WakeRegistrationStatus.FAILED: "the run has left the pool",
}


class Wakes:
    """The waits of the run of a seat."""

    def __init__(self, seat: Seat) -> None:
        self._seat: Final = seat
        self._pool: Final = seat.pool

    async def wait(self, given: Wait, patience: float) -> Answer:
        """Wait; or say how to go on."""
        kind, _, name = given.for_.partition(":")
        if given.for_ == "mail":
            return await self._for_mail(given.timeout, patience)
        if kind == "event" and name:
            place, wanted = await self._look(end_of_events), EventFilter.named(name)
            return await self._registered(kind, wanted, place, given.timeout, patience)
        of, _, id_ = name.partition(":")
        if kind == "member" and of in {"run", "agent"} and id_:
            return await self._for_member(of, id_, given.timeout, patience)
        msg = (
            f"for: {shown(given.for_)} is nothing to wait for; give mail, member:run:ID,"
            " member:agent:ID, event:NAME, or a wait_id as you got it"
        )
        raise InvalidValueError(msg)

    async def _for_mail(self, timeout: float, patience: float) -> Answer:  # noqa: ASYNC109
        me = await self._seat.joined()
        if await me.inbox.wait(0):
            return {"came": True, "for": "mail"}
        place = await self._look(end_of_events)
        return await self._registered("mail", None, place, timeout, patience)

    async def _for_member(
        self,
        of: str,
        id_: str,
        timeout: float,  # noqa: ASYNC109  # a durable deadline
        patience: float,
    ) -> Answer:
        place, runs = await self._look(lambda view: (end_of_events(view), _runs_of(view, of, id_)))
        if runs:
            return {"came": True, "for": f"member:{of}:{id_}", "runs": listed(runs)}
        wanted = EventFilter.run(id_) if of == "run" else EventFilter.agent(id_)
        wanted = replace(wanted, kinds=include(EventKind.AGENT_POOL_RUN_JOINED))
        return await self._registered("member", wanted, place, timeout, patience)

    async def _registered(
        self,
        kind: str,
        wanted: EventFilter | None,
        since: EventCursor,
        timeout: float,  # noqa: ASYNC109  # a durable deadline
        patience: float,
    ) -> Answer:
        wait_id = fresh_id(kind, self._pool.store.clock)
        condition = WakeCondition(
            condition_id=wait_id,
            run_id=self._seat.run_id,
            filter=EventFilter.named(wait_id) if wanted is None else wanted,
            timeout_millis=millis(timeout, "timeout"),
            idempotency_key=wait_id,
        )
        await self._seat.joined()
        async with withdrawn_if_left(lambda: self._pool.cancel_wake(wait_id)):
            await self._pool.suspend_until(self._seat.run_id, condition, since=since)
            return await self.go_on(wait_id, patience)

    async def go_on(self, wait_id: str, patience: float) -> Answer:
        """Wait on for what was waited for."""
        await self._known(wait_id)
        with move_on_after(patience):
            if not await self._mail(wait_id):
                await self._pool.wait(wait_id)
        return (await self.standing(wait_id)).answer or going_on(wait_id)

    async def standing(self, wait_id: str) -> Standing:
        """Say how a wait stands, after looking for what it is for.

        :raises InvalidValueError: this run has no such wait
        """
        known, at = await self._known(wait_id)
        if await self._mail(wait_id, 0):
            return Standing("completed", {"came": True, "for": "mail"}, at)
        await self._pool.poll_wake(wait_id)  # its time may be up
        known, at = await self._known(wait_id)
        match known.registration.status:
            case WakeRegistrationStatus.REGISTERED:
                return Standing("working", None, at)
            case WakeRegistrationStatus.CANCELLED:
                return Standing("cancelled", _did_not_come(known), at)
            case WakeRegistrationStatus.TRIGGERED:
                return Standing("completed", await self._came(known), at)
            case _:
                return Standing("completed", _did_not_come(known), at)

    async def cancel(self, wait_id: str) -> None:
        """End a wait; one that has ended otherwise stays as it is."""
        await self._known(wait_id)
        with suppress(InvalidTransitionError):
            await self._pool.cancel_wake(wait_id)

    async def _mail(self, wait_id: str, most: float = inf) -> bool:
        """Wait for mail, until the time of a wait for it is up; say whether that ends it now."""
        wake, _ = await self._known(wait_id)
        is_open = wake.registration.status is WakeRegistrationStatus.REGISTERED
        if kind_of(wait_id) != "mail" or not is_open:
            return False
        ends_at = began_at(wait_id) + (wake.condition.timeout_millis or 0)
        left = max(ends_at - self._pool.store.clock(), 0) / 1000
        me = await self._seat.joined()
        came = await me.inbox.wait(min(left, most))
        if came:
            await me.publish(wait_id, idempotency_key=wait_id)
        return came

    async def _came(self, wake: AgentPoolStoredWake) -> Answer:
        kind, answer = kind_of(wake.condition.condition_id), {"came": True, "for": _what(wake)}
        if kind == "mail":
            return answer
        outcome = await self._pool.wait(wake.condition.condition_id)
        if kind == "event":
            return {**answer, "content_ref": outcome.content_ref}
        subject = outcome.subject_ref
        return {**answer, "runs": [subject.id] if subject else []}

    async def _known(self, wait_id: str) -> tuple[AgentPoolStoredWake, int | None]:
        found = await self._look(partial(_wake_at, wait_id=wait_id))
        if found is None or found[0].condition.run_id != self._seat.run_id:
            msg = f"{self._seat.run_id!r} waits for nothing under the id {shown(wait_id)}"
            raise InvalidValueError(msg, pool_id=self._pool.pool_id)
        return found

    async def _look(self, question: Callable[[PoolView], T]) -> T:
        return await self._pool.store.query(self._pool.pool_id, question)


def _runs_of(view: PoolView, of: str, id_: str) -> list[str]:
    members = view.state.members
    if of == "run":
        return [id_] if id_ in members else []
    return sorted(run for run, each in members.items() if each.agent_id == id_)


def _wake_at(view: PoolView, wait_id: str) -> tuple[AgentPoolStoredWake, int | None] | None:
    known = view.wake(wait_id)
    return None if known is None else (known.stored, view.time_of(known.seq))


def _what(wake: AgentPoolStoredWake) -> str:
    """Say what is waited for as it was asked for."""
    wanted = wake.condition.filter
    if kind_of(wake.condition.condition_id) == "mail":
        return "mail"
    for name, values in (
        ("event", wanted.tags),
        ("member:run", wanted.run_ids),
        ("member:agent", wanted.agent_ids),
    ):
        if isinstance(values, Include):
            return f"{name}:{values.include[0]}"
    return "mail"


def _did_not_come(wake: AgentPoolStoredWake) -> Answer:
    return {"came": False, "for": _what(wake), "why": _WHY[wake.registration.status]}
