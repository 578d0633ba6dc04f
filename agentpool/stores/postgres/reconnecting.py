"""The session of an engine, and another one when it was lost."""

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from agentpool.errors import StoreBusyError, StoreClosedError
from agentpool.stores.postgres.errors import ours, translated
from agentpool.stores.postgres.look_ups import ReplacedError
from agentpool.stores.postgres.pipeline import LostConnectionError
from agentpool.stores.postgres.session import Place, Session, connect

__all__ = ("RETRY_SECONDS", "Reconnecting")

R = TypeVar("R")

RETRY_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)


class Reconnecting:
    """A session that is made anew, as long as there is time, whenever it was lost.

    :ivar session: the one that is there now
    :ivar is_replaced: whether what was read in the last one has shown that the logs were replaced
    :param lock_seconds: how long its transactions wait for a lock
    :param give_up: ends any waiting for a server that is away
    :param compare: called when there is another one, which may be with another server; it may
        raise what `translated` knows
    """

    def __init__(
        self,
        place: Place,
        session: Session,
        lock_seconds: float,
        give_up: threading.Event,
        compare: Callable[[], None],
    ) -> None:
        self.session: Session = session
        self._place = place
        self._lock_seconds = lock_seconds
        self._give_up = give_up
        self._compare = compare
        self.is_replaced: bool = False

    def persistently(self, call: Callable[[], R]) -> R:
        """Do something again on another connection when one was lost: once, and while time is left.

        :raises StoreBusyError: the server was away for too long
        :raises StoreClosedError: the store is being closed
        """
        deadline = time.monotonic() + self._place.patience
        is_first = True
        while True:
            try:
                return call()
            except (LostConnectionError, ReplacedError) as error:
                if self._give_up.is_set():
                    raise self._closed() from error
                if not is_first and time.monotonic() >= deadline:
                    raise ours(error, str(self._place)) from error
                is_first = False
                self.is_replaced |= isinstance(error, ReplacedError)
            self.connect(deadline)

    def connect(self, deadline: float) -> None:
        """Connect again, as soon as that is possible.

        :param deadline: by the monotonic clock
        :raises StoreBusyError: it was not until then
        :raises StoreClosedError: the store is being closed
        """
        self.session.pipeline.close()
        attempts = iter(RETRY_SECONDS)
        while True:
            try:
                with translated(str(self._place)):
                    left = deadline - time.monotonic()
                    self.session = connect(self._place, self._lock_seconds, left)
                    self._compare()
            except StoreBusyError as error:
                if self._give_up.is_set():
                    raise self._closed() from error
                if time.monotonic() >= deadline:
                    raise
                self._give_up.wait(next(attempts, RETRY_SECONDS[-1]))
            else:
                self.is_replaced = False
                return

    def _closed(self) -> StoreClosedError:
        msg = f"{self._place}: the store was closed while the server was away"
        return StoreClosedError(msg)
