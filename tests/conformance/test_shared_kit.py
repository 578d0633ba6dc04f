"""The suite of shared stores: a store that breaks a promise fails it."""

import itertools
from pathlib import Path

import pytest

from agentpool import AgentPoolError
from agentpool.testing import SharedStoreConformance
from agentpool.testing.conformance import shared_kit

WRONG = (AssertionError, AgentPoolError)
"""The test found something else than it expected, or the store itself did."""
SILENT = (TimeoutError,)
"""What the test waited for never came."""

BROKEN = [
    ("test_two_handles_number_their_records_together", "LooksOnce", WRONG),
    ("test_what_one_has_committed_the_other_finds_at_once", "LooksOnce", WRONG),
    ("test_of_two_records_of_one_message_exactly_one_is_there", "LooksOnce", WRONG),
    ("test_of_two_messages_under_one_key_exactly_one_is_recorded", "LooksOnce", WRONG),
    ("test_a_message_is_taken_through_one_of_the_handles", "LooksOnce", SILENT),
    ("test_two_processes_number_their_records_together", "LooksOnce", WRONG),
    ("test_of_two_processes_that_record_one_message_exactly_one_does", "LooksOnce", WRONG),
    ("test_a_watcher_of_one_sees_what_the_other_commits", "Deaf", SILENT),
    ("test_following_can_begin_and_end_again_and_again", "Deaf", SILENT),
    ("test_a_wait_in_one_is_ended_by_an_event_of_the_other", "Deaf", SILENT),
    (
        "test_a_message_that_one_sends_ends_the_waiting_of_a_consumer_of_the_other",
        "Deaf",
        SILENT,
    ),
    (
        "test_an_announcement_of_one_brings_a_turn_in_the_other",
        "AnnouncesAtHomeOnly",
        SILENT,
    ),
    ("test_an_inbox_goes_on_where_it_was", "ForgetsRows", WRONG),
    ("test_what_fell_due_meanwhile_is_carried_out_once", "ForgetsRows", SILENT),
    ("test_a_claim_that_ran_out_is_fenced_off_by_that_of_another_process", "ForgetsRows", WRONG),
    ("test_numbers_go_on_after_the_last_one", "ForgetsEventNumbers", WRONG),
    ("test_an_event_number_is_never_given_twice", "ForgetsEventNumbers", WRONG),
    ("test_everything_is_as_it_was", "ForgetsBodies", WRONG),
    ("test_a_body_that_one_put_the_other_can_get", "ForgetsBodies", WRONG),
    ("test_a_retry_finds_what_was_recorded_before", "WritesTwice", WRONG),
    ("test_what_a_killed_process_was_told_is_there_once", "AcknowledgesTooEarly", WRONG),
]


@pytest.mark.parametrize(("test", "store", "failure"), BROKEN)
async def test_a_shared_store_that_breaks_a_promise_fails(
    test: str,
    store: str,
    failure: tuple[type[Exception], ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Suite(SharedStoreConformance):
        factory = f"broken_stores:{store}"
        _numbers = itertools.count()

        def new_place(self) -> str:
            return str(tmp_path / f"{next(self._numbers)}.pool")

    if failure is SILENT:
        monkeypatch.setattr(shared_kit, "PATIENCE", 0.5)
    with pytest.raises(failure):
        await getattr(Suite(), test)()
