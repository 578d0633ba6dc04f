"""Asking a server in transactions that only read, wait for hardly anybody, and come to an end."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeAlias

from agentpool.stores.postgres.pipeline import (
    LostConnectionError,
    Pipeline,
    Statement,
)
from agentpool.stores.postgres.session import Place, Session
from agentpool.stores.postgres.statements import BEGIN_READING, ROLLBACK
from agentpool.stores.postgres.values import Parameter

__all__ = ("PASSING", "Values", "Visit")

Values: TypeAlias = tuple[str, ...]
"""A row as text; what is null is an empty one."""

PASSING: Final = {"55P03", "57014", "25P04"}
"""What is told of a statement that waited for others, or took too long."""

_STATEMENT_SECONDS: Final = 60
_BOUNDS: Final = Statement(
    f"""
    SELECT set_config('statement_timeout', '{_STATEMENT_SECONDS}s', true),
        set_config('idle_in_transaction_session_timeout', '{_STATEMENT_SECONDS}s', true),
        set_config('lock_timeout', '1s', true)
    """
)


class Visit:
    """A session on a server for an examination.

    :ivar schema: the name of the schema, as it is
    """

    def __init__(self, session: Session, place: Place, schema: str) -> None:
        self._session = session
        self.place: Final = place
        self.schema: Final = schema
        self.pipeline.patience = _STATEMENT_SECONDS + place.patience

    @property
    def pipeline(self) -> Pipeline:
        """The connection."""
        return self._session.pipeline

    @property
    def timeline(self) -> str:
        """On which of its timelines the server is; empty while it is in recovery."""
        return self._session.identity.timeline.decode()

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look at one state of what is committed, with the settings that our sessions have."""
        try:
            self._begin()
            yield
        finally:
            with suppress(LostConnectionError):
                self._end()

    def begin_again(self) -> None:
        """Look at the state of now, after a statement that failed.

        :raises LostConnectionError: the server is gone
        """
        self._end()
        self._begin()

    def _begin(self) -> None:
        self.pipeline.ask(BEGIN_READING)
        self._session.guard()
        self.pipeline.ask(_BOUNDS)

    def _end(self) -> None:
        self.pipeline.forget()
        self.pipeline.ask(ROLLBACK)
        self.pipeline.flush()

    def ask(self, sql: str, *parameters: Parameter) -> list[Values]:
        """Ask for rows.

        :raises ServerError: the server refuses that
        :raises LostConnectionError: it does not answer
        """
        rows = self.pipeline.ask(Statement(sql), *parameters).rows
        return [tuple((each or b"").decode(errors="replace") for each in row) for row in rows]

    def close(self) -> None:
        """Let go of the connection."""
        self.pipeline.close()
