"""What a run does in a pool: send, ask, wait. `AgentPool` adds to it, member handles use it."""

from collections.abc import Sequence
from typing import Final

from agentpool.errors import InvalidValueError
from agentpool.inbox import Inbox
from agentpool.rules.claims import TakeAnswers, is_answered
from agentpool.rules.command import PoolView
from agentpool.rules.consequences import CatchUp
from agentpool.rules.log import checked_cursor, checked_sequence, require_open, require_type
from agentpool.rules.sending import RecordStatus, Send
from agentpool.rules.waits import (
    CancelWake,
    SuspendUntil,
    WakeOutcome,
    compile_for,
    find_in_page,
    known_wake,
    outcome,
)
from agentpool.runtime.upkeep import Keeper
from agentpool.runtime.waiting import Hub, message_topic, wake_topic
from agentpool.stores.base import AgentPoolStore
from agentpool.support.clock import positive_millis
from agentpool.wire.events import EventEnvelope
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import (
    AgentPoolStoreCursor,
    MessageReceipt,
    MessageStatus,
    RunMessage,
    WakeCondition,
    WakeRegistration,
    WakeRegistrationStatus,
)

__all__ = ("Operations",)


class Operations:
    """A pool of a store, seen by those who act in it."""

    def __init__(self, store: AgentPoolStore, pool_id: str) -> None:
        self.store: Final = store
        self.pool_id: Final = pool_id
        self._hub = Hub(store, pool_id)

    def inbox(self, run_id: str, *, lease: float = 30.0) -> Inbox:
        """Give the inbox of a run; it can be looked at, and taken from, whoever is a member.

        :param lease: seconds that a message stays claimed, renewed while somebody holds it
        """
        check_identifier(run_id, "run_id")
        return Inbox(
            self.store, self.pool_id, run_id, self._hub, lease=positive_millis(lease, "lease")
        )

    # --- messages

    async def send(self, message: RunMessage) -> MessageReceipt:
        """Send a message: its recipients are fixed, and it is recorded, in one transaction.

        ``delivered`` means recorded for these recipients; ``failed`` that there was none;
        ``expired`` that it came too late. All are final for its key: sending again gives the
        receipt that is there.

        :raises IdempotencyConflictError: the key was used for another sender, target or content
        :raises NotAMemberError: the sender is not a member; nothing was recorded
        """
        return await self.store.execute(self.pool_id, Send(message))

    async def record_message_status(
        self, message: RunMessage, status: MessageStatus, delivered_to: Sequence[str] = ()
    ) -> MessageReceipt:
        """Record what became of a message.

        A status that the message has already changes nothing.

        :raises InvalidTransitionError: it is already past that status
        :raises IdempotencyConflictError: its key was used for another sender, target or content
        :raises NotAMemberError: it is new, and its sender is not a member
        """
        return await self.store.execute(
            self.pool_id,
            RecordStatus(message, status, checked_sequence(delivered_to, "delivered_to")),
        )

    async def ask(self, message: RunMessage) -> tuple[RunMessage, ...]:
        """Send a message with a response contract and wait for what comes of it.

        Returns the answers when as many runs as expected have answered, or those that have come
        when the time is up, the first of each run; none where nobody received the message. What
        comes later goes to the inbox of the sender as an ordinary message. So do, within half a
        minute, the answers to an asker that was killed, or cancelled and has not asked again; one
        that is cancelled just as it takes them gets them only by asking again.
        Asked again under the same key, the answers are the same.

        :raises InvalidValueError: the message has no response contract
        :raises IdempotencyConflictError: the key was used for another sender, target or content
        :raises NotAMemberError: the sender is not a member; nothing was recorded
        """
        require_type(message, RunMessage, "message")
        if message.response_contract is None:
            msg = "message.response_contract: needed to ask"
            raise InvalidValueError(msg)
        receipt = await self.store.execute(self.pool_id, Send(message, hold_answers=True))
        asked, key = receipt.message_id, message.idempotency_key
        keeper = Keeper.of(self.store)
        keeper.add_hold(self.pool_id, asked)
        try:
            answers, _ = await self._hub.until_taken(
                message_topic(key),
                lambda view: view.now if is_answered(view, key) else None,
                TakeAnswers(key),
            )
            return answers
        finally:
            keeper.remove_hold(self.pool_id, asked)

    # --- waits

    async def suspend_until(
        self, run_id: str, condition: WakeCondition, *, since: AgentPoolStoreCursor | None = None
    ) -> WakeRegistration:
        """Register a wait, unless an event after ``since`` has ended it already.

        Checking the history and registering are one transaction: no event is missed. From then
        on the first of these decides: an event that matches, of any process; ``timeout_millis``
        from now; `cancel_wake`; the run's leaving. A wait ends, it never cancels a run.

        :param since: where to begin to look; ``None`` for the start of the pool, which reads the
            whole log, a page at a time
        :raises IdempotencyConflictError: the key was used for another run or filter
        :raises NotAMemberError: the run is not a member
        """
        check_identifier(run_id, "run_id")
        require_type(condition, WakeCondition, "condition")
        since = checked_cursor(since)
        if condition.run_id != run_id:
            msg = f"the condition is for run {condition.run_id!r}, not for {run_id!r}"
            raise InvalidValueError(msg)

        match, looked_until = await self._search(condition, since)
        return await self.store.execute(self.pool_id, SuspendUntil(condition, looked_until, match))

    async def _search(
        self, condition: WakeCondition, since: AgentPoolStoreCursor | None
    ) -> tuple[EventEnvelope | None, AgentPoolStoreCursor | None]:
        """Go through the long past, a page at a time, so that neither writers nor readers wait."""

        def search(
            view: PoolView,
        ) -> tuple[EventEnvelope | None, AgentPoolStoreCursor | None, bool]:
            known = view.wake_by_key(condition.idempotency_key)
            if known is not None or condition.run_id not in view.state.members:
                return None, place, False
            return find_in_page(view, compile_for(require_open(view), condition.filter), place)

        match, place, more = None, since, True
        while more and match is None:
            match, place, more = await self.store.query(self.pool_id, search)
        return match, place

    async def poll_wake(self, condition_id: str) -> WakeRegistration:
        """Say how a wake stands, after carrying out what is due.

        :raises InvalidValueError: there is no such wake
        """
        check_identifier(condition_id, "condition_id")
        await self.store.execute(self.pool_id, CatchUp())
        stored = await self.store.query(self.pool_id, lambda view: known_wake(view, condition_id))
        return stored.registration

    async def cancel_wake(self, condition_id: str) -> WakeRegistration:
        """Cancel a wait.

        :raises InvalidTransitionError: it has ended otherwise
        :raises InvalidValueError: there is no such wake
        """
        return await self.store.execute(self.pool_id, CancelWake(condition_id))

    async def wait(self, condition_id: str) -> WakeOutcome:
        """Wait until a wake has its final status, whoever gives it, and say how it ended.

        Cancelled, the wake stays as it is; waiting again is safe.

        :raises InvalidValueError: there is no such wake
        """
        check_identifier(condition_id, "condition_id")
        return await self._hub.until(wake_topic(condition_id), lambda: self._ended(condition_id))

    async def _ended(self, condition_id: str) -> WakeOutcome | None:
        found = await self.store.query(self.pool_id, lambda view: outcome(view, condition_id))
        waits = found.registration.status is WakeRegistrationStatus.REGISTERED
        return None if waits else found
