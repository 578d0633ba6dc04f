"""The tree of errors, what to do about each, and what they say."""

import ast
import copy
import pickle
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from typing import Any

import pytest
from package_tree import modules

import agentpool
from agentpool import (
    AgentPoolError,
    AskOutcome,
    InvalidValueError,
    NoAnswerError,
    NotAMemberError,
    RetryClassification,
    StoreError,
    errors,
)
from agentpool.errors import own_copy

TREE = {
    "InvalidValueError": "not_retryable",
    "PoolNotOpenError": "host_configuration_needed",
    "PoolConfigConflictError": "repair_needed",
    "NotAMemberError": "not_retryable",
    "MembershipLostError": "not_retryable",
    "NotEnoughMembersError": "retryable",
    "NoRecipientError": "retryable",
    "NoAnswerError": "retryable",
    "ClaimLostError": "not_retryable",
    "ContentNotFoundError": "not_retryable",
    "IdempotencyConflictError": "not_retryable",
    "InvalidTransitionError": "not_retryable",
    "StoreBusyError": "retryable",
    "StoreFullError": "retryable",
    "StoreClosedError": "not_retryable",
    "CorruptRecordError": "repair_needed",
    "UnknownRecordError": "user_action_needed",
    "IncompatibleStoreError": "user_action_needed",
    "StoreError": "repair_needed",
}


def error_type(name: str) -> type[AgentPoolError]:
    found: type[AgentPoolError] = getattr(agentpool, name)
    return found


def below(cls: type[AgentPoolError]) -> Iterator[type[AgentPoolError]]:
    """List what the library derives from an error, however far."""
    for each in cls.__subclasses__():
        if each.__module__ in modules():
            yield each
            yield from below(each)


def test_the_tree_is_complete() -> None:
    found = set(below(AgentPoolError))
    public = {each for each in found if getattr(agentpool, each.__name__, None) is each}
    assert {each.__name__ for each in public} == set(TREE)
    # What a module has for itself is one of these to whoever catches it.
    assert all(issubclass(each, tuple(public)) for each in found)


def test_the_root_is_an_exception_like_any_other() -> None:
    assert AgentPoolError.__bases__ == (Exception,)
    assert AgentPoolError("x").retry is RetryClassification.NOT_RETRYABLE


@pytest.mark.parametrize("name", TREE)
def test_parents(name: str) -> None:
    others = {
        "InvalidValueError": (AgentPoolError, ValueError),
        "NotEnoughMembersError": (AgentPoolError, TimeoutError),
        "MembershipLostError": (NotAMemberError,),
    }
    assert error_type(name).__bases__ == others.get(name, (AgentPoolError,))


@pytest.mark.parametrize(("name", "retry"), TREE.items(), ids=TREE)
def test_says_whether_to_retry(name: str, retry: str) -> None:
    assert error_type(name).retry is RetryClassification(retry)
    assert error_type(name)("message").retry == retry


def test_the_classifications() -> None:
    assert [member.value for member in RetryClassification] == [
        "retryable",
        "not_retryable",
        "repair_needed",
        "user_action_needed",
        "host_configuration_needed",
    ]


@pytest.mark.parametrize("name", TREE)
def test_the_tree_in_the_docstring_is_the_real_one(name: str) -> None:
    lines = [line.split() for line in (errors.__doc__ or "").splitlines() if "── " in line]
    drawn = {line[line.index("├──" if "├──" in line else "└──") + 1]: line[-1] for line in lines}
    assert drawn[name] == TREE[name]
    assert set(drawn) == set(TREE)


PLACES: dict[str, tuple[dict[str, Any], str]] = {
    "nowhere": ({}, "it broke"),
    "pool": ({"pool_id": "pool.x"}, "pool 'pool.x': it broke"),
    "record": ({"pool_id": "pool.x", "seq": 7}, "pool 'pool.x', record 7: it broke"),
    "record without pool": ({"seq": 7}, "record 7: it broke"),
    "odd names": ({"pool_id": "a'b: \u2028"}, 'pool "a\'b: \\u2028": it broke'),
}


@pytest.mark.parametrize(("place", "text"), PLACES.values(), ids=PLACES)
def test_tells_pool_and_record(place: dict[str, Any], text: str) -> None:
    error = StoreError("it broke", **place)
    assert str(error) == text
    assert (error.message, error.pool_id, error.seq) == (
        "it broke",
        place.get("pool_id"),
        place.get("seq"),
    )


@pytest.mark.parametrize("name", ["AgentPoolError", *TREE])
def test_survives_pickling_and_copying(name: str) -> None:
    error = error_type(name)("it broke", pool_id="pool.x", seq=7)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301  # made here
        assert type(again) is error_type(name)
        assert str(again) == str(error)
        assert (again.message, again.pool_id, again.seq) == ("it broke", "pool.x", 7)


@pytest.mark.parametrize("name", ["AgentPoolError", *TREE])
def test_a_copy_is_the_same_error_without_the_traceback(name: str) -> None:
    raised = error_type(name)("it broke", pool_id="pool.x", seq=7)
    cause = LookupError("of the engine")
    with pytest.raises(error_type(name)):
        raise raised from cause
    own = raised.copy()
    assert type(own) is error_type(name)
    assert own is not raised
    assert (own.message, own.pool_id, own.seq) == ("it broke", "pool.x", 7)
    assert own.__cause__ is cause
    assert own.__traceback__ is None
    assert raised.__traceback__ is not None


def is_of_error(node: ast.AST) -> bool:
    bases = node.bases if isinstance(node, ast.ClassDef) else []
    return any(isinstance(base, ast.Name) and base.id.endswith("Error") for base in bases)


def test_every_error_of_every_module_can_be_copied() -> None:
    for name, tree in modules().items():
        if any(map(is_of_error, ast.walk(tree))):
            with suppress(ImportError):  # of an extra
                import_module(name)
    every: list[type[AgentPoolError]] = [AgentPoolError, *below(AgentPoolError)]
    for cls in every:
        error = cls("it broke")
        own = own_copy(error)
        assert own is not error
        assert (type(own), str(own), vars(own)) == (cls, "it broke", vars(error))


def test_what_an_error_says_besides_is_in_its_copy() -> None:
    error = NoAnswerError("no answer", outcome=AskOutcome.TIMED_OUT, pool_id="pool.x")
    for again in (error.copy(), pickle.loads(pickle.dumps(error))):  # noqa: S301  # made here
        assert (again.outcome, str(again)) == (AskOutcome.TIMED_OUT, str(error))


def test_a_bad_value_can_be_caught_as_a_value_error() -> None:
    with pytest.raises(ValueError, match="run_id"):
        agentpool.AgentPoolMember("", "a")
    assert issubclass(InvalidValueError, ValueError)
