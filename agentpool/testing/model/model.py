"""The model: a store in memory that can go back to where it was."""

from copy import deepcopy
from typing import Any

from agentpool import InMemoryAgentPoolStore

__all__ = ("ModelStore",)


class ModelStore(InMemoryAgentPoolStore):
    """A store in memory whose whole state can be saved and restored."""

    def save(self) -> Any:
        """Copy the state, to be given to `restore` as often as needed."""
        return self._copied((self._pools, self._content))

    def restore(self, saved: Any) -> None:
        """Go back to a state."""
        self._pools, self._content = self._copied(saved)

    def _copied(self, state: Any) -> Any:
        return deepcopy(state, {id(self.clock): self.clock})
