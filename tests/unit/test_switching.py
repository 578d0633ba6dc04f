"""While somebody is in a hurry, the interpreter is handed over sooner; then it is as it was."""

import os
import sys
import threading
from collections.abc import Iterator

import pytest

from agentpool.support.switching import in_a_hurry


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    former = sys.getswitchinterval()
    sys.setswitchinterval(0.02)
    yield
    sys.setswitchinterval(former)


def test_it_is_short_for_the_block_and_put_back_even_if_that_fails() -> None:
    def fail() -> None:
        with in_a_hurry():
            assert sys.getswitchinterval() < 0.001
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert sys.getswitchinterval() == 0.02


def test_the_last_of_several_threads_puts_it_back() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def hurry() -> None:
        with in_a_hurry():
            entered.set()
            go_on.wait(60)

    thread = threading.Thread(target=hurry)
    with in_a_hurry():
        thread.start()
        assert entered.wait(60)
    assert sys.getswitchinterval() < 0.001
    go_on.set()
    thread.join()
    assert sys.getswitchinterval() == 0.02


def test_what_the_program_sets_meanwhile_stays() -> None:
    with in_a_hurry():
        sys.setswitchinterval(0.03)
    assert sys.getswitchinterval() == 0.03


def test_what_is_shorter_already_stays() -> None:
    sys.setswitchinterval(0.0001)
    shorter = sys.getswitchinterval()
    with in_a_hurry():
        assert sys.getswitchinterval() == shorter
    assert sys.getswitchinterval() == shorter


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_of_a_fork_is_in_no_hurry() -> None:
    with in_a_hurry():
        child = os.fork()
        if child == 0:  # where the thread that was in a hurry, or held the lock, is not
            switching_is = sys.getswitchinterval()
            with in_a_hurry():
                pass
            os._exit(0 if switching_is == sys.getswitchinterval() == 0.02 else 1)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
