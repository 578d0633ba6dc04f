"""Questions and waits together: what is durable, by its id."""

from typing import Final

from agentpool.errors import InvalidValueError, shown
from agentpool.mcp.answers import Answer
from agentpool.mcp.arguments import Ask, Wait
from agentpool.mcp.questions import Questions
from agentpool.mcp.seat import Seat
from agentpool.mcp.standing import Standing, kind_of
from agentpool.mcp.wakes import Wakes

__all__ = ("Waits",)


class Waits:
    """What the run of a seat waits for."""

    def __init__(self, seat: Seat) -> None:
        self._questions: Final = Questions(seat)
        self._wakes: Final = Wakes(seat)

    async def ask(self, given: Ask, patience: float) -> Answer:
        """Ask, and wait for the answers; or say how to go on."""
        return await self._questions.ask(given, patience)

    async def wait(self, given: Wait, patience: float) -> Answer:
        """Wait, or wait on; or say how to go on."""
        match kind_of(given.for_):
            case None:
                return await self._wakes.wait(given, patience)
            case "ask":
                return await self._questions.go_on(given.for_, patience, given.offset)
            case _:
                return await self._wakes.go_on(given.for_, patience)

    async def standing(self, wait_id: str) -> Standing:
        """Say how a question or a wait stands.

        :raises InvalidValueError: there is none under this id
        """
        return await self._of(wait_id).standing(wait_id)

    async def cancel(self, wait_id: str) -> None:
        """Wait no more; what has ended stays as it is.

        :raises InvalidValueError: there is none under this id
        """
        await self._of(wait_id).cancel(wait_id)

    def _of(self, wait_id: str) -> Questions | Wakes:
        match kind_of(wait_id):
            case None:
                msg = f"{shown(wait_id)} is no id of a question or a wait"
                raise InvalidValueError(msg)
            case "ask":
                return self._questions
            case _:
                return self._wakes
