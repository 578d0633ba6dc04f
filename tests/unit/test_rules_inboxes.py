"""What an inbox hands out, and that no transaction goes through more of it than is good."""

from collections.abc import Sequence
from typing import Any

import pytest
from rule_views import Pool
from samples import member, message, receipt

from agentpool import ClaimLostError, CorruptRecordError, MessageStatus
from agentpool.rules.claiming import ClaimNext
from agentpool.rules.claims import Acknowledge, Claim, RenewClaims
from agentpool.rules.command import INBOX, Command, Decision, Row, RowKey
from agentpool.rules.consequences import CatchUp, carry_out
from agentpool.rules.dead import dead_page
from agentpool.rules.inboxes import (
    MESSAGES_AT_ONCE,
    ROWS_AT_ONCE,
    next_available,
    peek_page,
)
from agentpool.rules.membership import JoinMember
from agentpool.rules.messages import RecordMessage
from agentpool.rules.pool_opening import OpenPool
from agentpool.rules.redelivery import ReturnMessage, Unclaim, growing_delay
from agentpool.rules.rows import UNREAD, inbox_key, unread
from agentpool.testing.conformance.pool_kit import ManualClock

DELIVERED, CANCELLED = MessageStatus.DELIVERED, MessageStatus.CANCELLED
LEASE = 30_000
RUN = "run.b"


class Counting(Pool):
    """A coordinated pool that counts what is read in it, and what one decision changes."""

    def __init__(self) -> None:
        self.time = ManualClock()
        self.damaged: set[int] = set()
        super().__init__(self.time)
        self.begin()
        joining = (JoinMember(member()), JoinMember(member(RUN)))
        commands: list[Command[Any]] = [OpenPool(), *joining, CatchUp()]
        for command in commands:
            carry_out(self, command)

    def begin(self) -> None:
        self.rows_read = self.records_read = 0

    def due(self, name: str, **which: Any) -> Sequence[Row]:
        found = super().due(name, **which)
        self.rows_read += len(found)
        return found

    def rows(self, kind: str, name: str, **which: Any) -> Sequence[Row]:
        found = super().rows(kind, name, **which)
        self.rows_read += len(found)
        return found

    def records(self, after: int, limit: int) -> Any:
        self.records_read += 1
        error = CorruptRecordError("damaged", seq=after + 1)
        return [(after + 1, error)] if after + 1 in self.damaged else super().records(after, limit)

    def deliver(self, message_id: str, **fields: Any) -> int:
        """Deliver a message, as another implementation does, and give its place."""
        sent = message(message_id, **fields)
        carry_out(self, RecordMessage(sent, receipt(message_id, DELIVERED, delivered_to=(RUN,))))
        return self.head

    def put(self, *rows: Row) -> None:
        self.apply(Decision(None, puts=rows))

    def claim(self, max_attempts: int | None = None) -> Claim | None:
        """Claim as one transaction does, with nothing else in it; count from here on."""
        self.begin()
        claim: Claim | None = self.do(ClaimNext(RUN, "test", LEASE, max_attempts))
        return claim


def in_front(pool: Counting, count: int, value: str, due_at: int = 0) -> None:
    """Put rows in front of everything that was delivered."""
    pool.put(*(Row(RowKey(INBOX, RUN, -number), value, due_at) for number in range(1, count + 1)))


def test_what_has_expired_is_passed_by_bit_by_bit() -> None:
    pool = Counting()
    pool.deliver("msg.1")
    in_front(pool, 3 * ROWS_AT_ONCE, unread(expires_at=pool.now))
    for _ in range(3):
        assert next_available(pool, RUN) == 0
        assert pool.claim() is None
        assert pool.rows_read <= 2 * ROWS_AT_ONCE
        assert pool.records_read == 0
    claim = pool.claim()
    assert claim is not None
    assert claim.message.message_id == "msg.1"
    assert pool.rows_read == 1
    assert len(pool.rows(INBOX, RUN, after=-(2**62), limit=2**31)) == 3 * ROWS_AT_ONCE + 1


def test_messages_that_cannot_be_read_stand_in_nobodys_way() -> None:
    pool = Counting()
    places = [pool.deliver(f"msg.{number}") for number in range(MESSAGES_AT_ONCE + 3)]
    pool.damaged = set(places[:-1])
    taken = [pool.claim() for _ in range(2)]
    assert [claim and claim.seq for claim in taken] == [None, places[-1]]
    assert peek_page(pool, RUN, places[2], 1)[0][0].message_id == f"msg.{len(places) - 1}"


def test_a_message_that_cannot_be_read_is_tried_again_later_each_time() -> None:
    pool = Counting()
    place = pool.deliver("msg.1")
    pool.damaged = {place}
    for seconds in (1, 2, 4):
        assert pool.claim(max_attempts=1) is None
        assert pool.records_read == 1
        pool.time.advance(seconds * 1000 - 1)
        assert pool.claim(max_attempts=1) is None
        assert pool.records_read == 0
        pool.time.advance(1)
    pool.damaged.clear()
    claim = pool.claim(max_attempts=1)
    assert claim is not None
    assert claim.seq == place


def test_a_row_that_cannot_be_read_stands_in_nobodys_way() -> None:
    pool = Counting()
    place = pool.deliver("msg.1")
    in_front(pool, 1, "?")
    claim = pool.claim()
    assert claim is not None
    assert claim.seq == place
    assert pool.row(RowKey(INBOX, RUN, -1)) == Row(RowKey(INBOX, RUN, -1), "?", pool.now + 300_000)


def test_dead_letters_are_listed_but_for_those_that_cannot_be_read() -> None:
    pool = Counting()
    places = [pool.deliver(f"msg.{number}") for number in range(3)]
    for _ in places:
        claim = pool.claim()
        assert claim is not None
        pool.do(ReturnMessage(claim, 0, max_attempts=1))
    pool.damaged = {places[0]}
    letters, after = dead_page(pool, RUN, 0, 9)
    assert [letter.seq for letter in letters] == places[1:]
    assert after is None


def test_where_all_has_expired_there_is_nothing_to_take() -> None:
    pool = Counting()
    in_front(pool, 5, unread(expires_at=pool.now))
    assert pool.claim() is None
    assert next_available(pool, RUN) is None


def test_what_others_cancelled_is_passed_by_bit_by_bit() -> None:
    pool = Counting()
    for number in range(2 * MESSAGES_AT_ONCE):
        place = pool.deliver(f"msg.{number}")
        cancelled = message(f"msg.{number}")
        carry_out(pool, RecordMessage(cancelled, receipt(cancelled.message_id, CANCELLED)))
        assert pool.row(inbox_key(RUN, place)) is not None, "the receipt of others names no run"
    pool.deliver("msg.good")
    for _ in range(2):
        assert pool.claim() is None
        assert pool.records_read == MESSAGES_AT_ONCE
    claim = pool.claim()
    assert claim is not None
    assert claim.message.message_id == "msg.good"
    assert len(pool.rows(INBOX, RUN, limit=2**31)) == 1


@pytest.mark.parametrize("value", [UNREAD, '{"attempt":1,"claimed_by":"somebody"}'])
def test_what_is_delayed_or_claimed_is_not_looked_at(value: str) -> None:
    pool = Counting()
    pool.deliver("msg.1")
    in_front(pool, 5000, value, due_at=pool.now + 1)
    assert pool.claim() is not None
    assert pool.rows_read == 1


def test_of_very_much_that_comes_back_at_once_a_claim_looks_at_some() -> None:
    pool = Counting()
    pool.deliver("msg.1")
    in_front(pool, 5000, unread(expires_at=pool.now), due_at=pool.now)
    pool.claim()
    assert pool.rows_read < 200


def test_looking_at_an_inbox_goes_on_page_by_page() -> None:
    pool = Counting()
    sent = [f"msg.{number}" for number in range(3 * MESSAGES_AT_ONCE + 1)]
    for message_id in sent:
        pool.deliver(message_id)
    found: list[str] = []
    after: int | None = 0
    while after is not None:
        pool.begin()
        page, after = peek_page(pool, RUN, after, 10**6)
        found += [each.message_id for each in page]
        assert pool.records_read <= MESSAGES_AT_ONCE
    assert found == sent


def test_looking_past_what_has_expired_goes_on_page_by_page() -> None:
    pool = Counting()
    expired = unread(expires_at=pool.now)
    numbers = range(100, 100 + 2 * ROWS_AT_ONCE)
    pool.put(*(Row(inbox_key(RUN, number), expired) for number in numbers))
    pool.begin()
    assert peek_page(pool, RUN, 0, 1) == ([], numbers[ROWS_AT_ONCE - 1])
    assert pool.records_read == 0


def test_rows_of_the_version_before_are_read_as_they_were_meant() -> None:
    pool = Counting()
    expires_at = pool.now + 100
    fresh, back, expired = (
        pool.deliver("msg.1"),
        pool.deliver("msg.2"),
        pool.deliver("msg.3", expires_at_millis=expires_at),
    )
    pool.put(
        Row(inbox_key(RUN, fresh), '{"attempt":0}'),
        Row(inbox_key(RUN, back), '{"attempt":3,"claimed_by":"host/1"}', due_at=pool.now),
        Row(inbox_key(RUN, expired), '{"attempt":0}'),
    )
    pool.time.advance(100)
    claims = [pool.claim(), pool.claim(), pool.claim()]
    assert [each and (each.seq, each.attempt) for each in claims] == [(fresh, 1), (back, 4), None]


def test_a_claim_that_was_withdrawn_before_it_was_decided_claims_nothing() -> None:
    pool = Counting()
    pool.deliver("msg.1")
    command = ClaimNext(RUN, "test", LEASE)
    assert command.withdraw()
    assert pool.do(command) is None
    claimed = ClaimNext(RUN, "test", LEASE)
    assert pool.do(claimed).attempt == 1
    assert not claimed.withdraw()


def test_an_undone_claim_is_made_again_with_the_same_number() -> None:
    pool = Counting()
    pool.deliver("msg.1")
    for _ in range(3):
        claim = pool.claim()
        assert claim is not None
        assert claim.attempt == 1
        pool.do(Unclaim(claim))
        with pytest.raises(ClaimLostError):
            pool.do(Acknowledge(claim))
        assert pool.do(RenewClaims({claim: LEASE})) == {claim}


def test_a_claim_is_not_undone_that_is_another_by_now() -> None:
    pool = Counting()
    pool.deliver("msg.1")
    late = pool.claim()
    assert late is not None
    pool.time.advance(LEASE)
    current = pool.claim()
    assert current is not None
    pool.do(Unclaim(late))
    pool.do(Acknowledge(current))


def test_a_claim_under_which_its_message_expired_leaves_nothing_behind_when_undone() -> None:
    pool = Counting()
    place = pool.deliver("msg.1", expires_at_millis=pool.now + 10)
    claim = pool.claim()
    assert claim is not None
    pool.time.advance(10)
    carry_out(pool, CatchUp())
    pool.do(Unclaim(claim))
    assert pool.claim() is None
    assert pool.row(inbox_key(RUN, place)) is None


def test_delays_grow_and_have_an_end() -> None:
    seconds = [growing_delay(tries) / 1000 for tries in (0, 1, 2, 3, 9, 10, 11, 10**6)]
    assert seconds == [1, 1, 2, 4, 256, 300, 300, 300]


def test_a_message_put_aside_is_in_the_inbox_no_more() -> None:
    pool = Counting()
    place = pool.deliver("msg.1")
    claim = pool.claim()
    assert claim is not None
    pool.do(ReturnMessage(claim, None, max_attempts=1))
    assert pool.row(inbox_key(RUN, place)) is None
    assert pool.claim() is None
