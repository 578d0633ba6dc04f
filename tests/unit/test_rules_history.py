"""The events of records and hosts, in order, however the pages cut them."""

from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rule_views import Pool, opened
from samples import POOL, envelope, member, message

from agentpool import AgentPoolStoreCursor, EventCursor, MessageStatus, PoolOpened, StoreError
from agentpool.rules import history
from agentpool.rules.history import page_of_events
from agentpool.rules.host_events import Publish
from agentpool.rules.membership import JoinMember
from agentpool.rules.messages import RecordStatus
from agentpool.rules.record_events import event_of

OF_A_RECORD, OF_A_HOST = "record", "host"
HAPPENED: Final = st.lists(st.sampled_from([OF_A_RECORD, OF_A_HOST]), max_size=14)


def pool_with(happened: list[str]) -> Pool:
    """Make a pool with a member, in which records and host events came in this order."""
    pool = opened()
    pool.do(JoinMember(member()))
    for number, what in enumerate(happened):
        if what is OF_A_HOST:
            pool.do(Publish(envelope(event_id=f"event.{number}")))
        else:
            pool.do(RecordStatus(message(f"msg.{number}"), MessageStatus.FAILED, ()))
    return pool


def expected_of(happened: list[str]) -> list[str]:
    return [f"event.{n}" if what is OF_A_HOST else f"msg.{n}" for n, what in enumerate(happened)]


def read_on(pool: Pool, cursor: AgentPoolStoreCursor | None) -> list[tuple[EventCursor, str]]:
    """Read page after page to the end, and name the events."""
    found: list[tuple[EventCursor, str]] = []
    more = True
    while more:
        events, cursor, more = page_of_events(pool, cursor)
        found += [(place, event.message_id or event.event_id) for place, event in events]
    return found


@pytest.fixture(params=[1, 2, 3, 5, 500], ids="page of {}".format, autouse=True, scope="module")
def _page(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "_PAGE", request.param)
        yield


@given(HAPPENED)
def test_pages_lose_and_repeat_nothing_and_keep_the_order(happened: list[str]) -> None:
    found = read_on(pool_with(happened), None)
    assert [name for _, name in found[1:]] == expected_of(happened)


@given(HAPPENED)
def test_reading_goes_on_after_any_event(happened: list[str]) -> None:
    pool = pool_with(happened)
    whole = read_on(pool, None)
    for number, (place, _) in enumerate(whole, start=1):
        assert read_on(pool, place) == whole[number:]


@given(HAPPENED)
def test_a_cursor_of_a_record_stands_before_the_host_events_that_follow_it(
    happened: list[str],
) -> None:
    pool = pool_with(happened)
    whole = [name for _, name in read_on(pool, None)]
    for seq in range(2, pool.head + 1):
        rest = [name for _, name in read_on(pool, AgentPoolStoreCursor(seq))]
        records = sum(name.startswith("msg") for name in rest)
        assert records == pool.head - seq
        assert rest == whole[len(whole) - len(rest) :]
        before = whole[len(whole) - len(rest) - 1]
        assert not before.startswith("event.") or before == whole[0]


@given(HAPPENED)
def test_the_cursor_after_the_last_event_finds_what_comes_then(happened: list[str]) -> None:
    pool = pool_with(happened)
    cursor: AgentPoolStoreCursor | None = None
    more = True
    while more:
        _, cursor, more = page_of_events(pool, cursor)
    pool.do(Publish(envelope(event_id="event.last")))
    assert [name for _, name in read_on(pool, cursor)] == ["event.last"]


def test_a_place_after_an_event_counts_records_and_host_events_apart() -> None:
    pool = pool_with([OF_A_HOST, OF_A_RECORD, OF_A_HOST])
    place, more, places = EventCursor(0, 0), True, []
    cursor: AgentPoolStoreCursor | None = None
    while more:
        events, cursor, more = page_of_events(pool, cursor)
        for _, event in events:
            place = place.past(POOL, event)
            places.append((place.sequence, place.events))
    assert places == [(2, 0), (2, 1), (3, 1), (3, 2)]


def test_the_opening_of_a_pool_is_no_event() -> None:
    pool = opened()
    [(seq, payload)] = pool.records(0, 1)
    assert isinstance(payload, PoolOpened)
    assert event_of(pool, seq, payload) is None


def test_host_events_that_were_seen_and_are_lost_are_told() -> None:
    pool = pool_with([OF_A_HOST])
    assert page_of_events(pool, EventCursor(2, 1))[0] == []
    with pytest.raises(StoreError, match="last event has number 1, but 2 was seen") as caught:
        page_of_events(pool, EventCursor(2, 2))
    assert caught.value.pool_id == POOL
