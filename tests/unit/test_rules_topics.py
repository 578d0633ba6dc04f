"""What several transactions have touched, told of together."""

from agentpool.rules.topics import DEADLINES, LOG, Touched, inbox_topic, merge


def test_of_two_deadlines_the_earlier_one_is_told_of() -> None:
    for first, second in ((5, 3), (3, 5)):
        touched: Touched = {DEADLINES: first}
        merge(touched, {DEADLINES: second})
        assert touched == {DEADLINES: 3}


def test_what_was_put_into_an_inbox_is_counted_together() -> None:
    """As many consumers are woken."""
    inbox = inbox_topic("run.a")
    touched: Touched = {inbox: 2, LOG: 1}
    merge(touched, {inbox: 3, LOG: 1, DEADLINES: 7})
    assert touched == {inbox: 5, LOG: 1, DEADLINES: 7}
