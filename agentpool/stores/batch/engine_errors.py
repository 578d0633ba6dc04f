"""The border where what an engine raises becomes one of our errors, naming where it was."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from agentpool.errors import AgentPoolError
from agentpool.stores.batch.committer import Outcome, Refusal

__all__ = ("Border",)


class Border:
    """The border of one engine.

    :param foreign: what the engine raises
    :param ours: says one of these in our terms, given where it was
    """

    def __init__(
        self,
        foreign: tuple[type[Exception], ...],
        ours: Callable[[Any, str], AgentPoolError],
    ) -> None:
        self._foreign: Final = foreign
        self._ours: Final = ours

    @contextmanager
    def translated(self, where: str) -> Iterator[None]:
        """Turn what the engine raises in the block into one of ours, which names the place."""
        try:
            yield
        except self._foreign as error:
            raise self._ours(error, where) from error

    def outcome(self, outcome: Outcome, where: str) -> Outcome:
        """Translate what the engine said of one command of a batch alone."""
        if not (isinstance(outcome, Refusal) and isinstance(outcome.error, self._foreign)):
            return outcome
        error = self._ours(outcome.error, where)
        error.__cause__ = outcome.error
        return Refusal(error)
