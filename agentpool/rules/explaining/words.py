"""Explanations in words."""

from collections.abc import Iterator

from msgspec.structs import replace

from agentpool.rules.explaining.explanations import (
    AgentExplanation,
    Explanation,
    MessageExplanation,
    NothingFound,
    QueueExplanation,
    RunExplanation,
    WakeExplanation,
)
from agentpool.rules.explaining.message_words import message_words
from agentpool.rules.explaining.phrases import alike_words, named
from agentpool.rules.explaining.run_words import agent_words, queue_words, run_words
from agentpool.rules.explaining.wake_words import wake_words

__all__ = ("in_words",)


def in_words(found: Explanation) -> Explanation:
    """Add its words to an explanation."""
    if isinstance(found, AgentExplanation):
        runs = tuple(replace(each, words=tuple(run_words(each))) for each in found.runs)
        found = replace(found, runs=runs)
    also = (f"there is another thing of that name, of kind {each}" for each in found.also)
    return replace(found, words=(*_words(found), *also))


def _words(found: Explanation) -> Iterator[str]:
    match found:
        case MessageExplanation():
            yield from message_words(found)
        case WakeExplanation():
            yield from wake_words(found)
        case RunExplanation():
            yield from run_words(found)
        case AgentExplanation():
            yield from agent_words(found)
        case QueueExplanation():
            yield from queue_words(found)
        case NothingFound():
            yield from _nothing_words(found)


def _nothing_words(found: NothingFound) -> Iterator[str]:
    yield f"nothing in pool {named(found.pool_id)} has the name {named(found.what)}"
    if found.searched_after:
        after = found.searched_after
        yield f"a message was looked for by its key, and by its id in the records after {after}"
    yield from alike_words(found.alike)
