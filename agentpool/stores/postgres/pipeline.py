"""One connection to a server: what is asked for waits until somebody needs an answer.

All that waits then goes in one trip, and is answered in one. Synchronous, for one thread at a time.
Source: "Pipeline Mode" in the chapter on libpq of PostgreSQL's documentation.
"""

import select
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import psycopg
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus

from agentpool.stores.postgres.values import Parameter, encoded

__all__ = ("Answer", "Call", "LostConnectionError", "Pipeline", "ServerError", "Statement", "Tuple")

Tuple: TypeAlias = tuple[Any, ...]
"""A row as it comes: bytes in the text format, or ``None``."""

_FIELDS: Final = (
    DiagnosticField.SEVERITY_NONLOCALIZED,
    DiagnosticField.SQLSTATE,
    DiagnosticField.MESSAGE_PRIMARY,
)
_ERROR: Final = "ERROR"
"""A statement alone has failed; what is more severe ends the session."""
_ANSWERED: Final = {ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK, ExecStatus.EMPTY_QUERY}


@dataclass(frozen=True, eq=False, slots=True)
class Statement:
    """An SQL statement.

    :ivar sql: with ``$1`` and so on for its parameters, and ``@.`` before each table of ours
    :ivar binary: whether its rows come in the binary format
    """

    sql: str
    binary: bool = False


class ServerError(Exception):
    """What the server answers to a statement that failed; its transaction has failed with it.

    :ivar state: the SQLSTATE
    :ivar answer: of the statement
    """

    def __init__(self, state: str, message: str, answer: "Answer | None" = None) -> None:
        super().__init__(f"{message} ({state})")
        self.state: Final = state
        self.answer: Final = answer


class LostConnectionError(Exception):
    """Raised when the server does not answer any more. What it has done is not known."""


class Answer:
    """The rows of a statement, fetched with all that waits when they are asked for first."""

    __slots__ = ("_pipeline", "_rows", "statement")

    def __init__(self, pipeline: "Pipeline", statement: Statement) -> None:
        self._pipeline = pipeline
        self._rows: list[Tuple] | None = None
        self.statement: Final = statement

    @property
    def rows(self) -> list[Tuple]:
        """The rows.

        :raises ServerError: the statement failed, or another one before it in its trip
        :raises LostConnectionError: there is no answer
        """
        if self._rows is None:
            self._pipeline.flush()
        if self._rows is None:
            msg = "the statement was given up"
            raise LostConnectionError(msg)
        return self._rows

    @property
    def row(self) -> Tuple | None:
        """The first row; ``None``: there is none."""
        return self.rows[0] if self.rows else None

    def arrived(self, rows: list[Tuple]) -> None:
        """Take what came."""
        self._rows = rows


Call: TypeAlias = tuple[Statement, tuple[Parameter, ...]]
"""A statement and its parameters."""

_Waiting: TypeAlias = tuple[Answer, tuple[Parameter, ...]]


class Pipeline:
    """Sends statements together on a connection.

    :ivar trips: how often it waited for answers
    :ivar prepares: whether statements are prepared, which they can be where each session has its
        server process to itself
    :param schema: the schema of the tables
    :param patience: seconds after which a trip is given up, and the connection with it
    """

    def __init__(self, connection: "psycopg.Connection[Any]", schema: str, patience: float) -> None:
        self._connection = connection
        self._pg = connection.pgconn
        self._schema = schema
        self.patience: float = patience
        self.prepares: bool = True
        self.trips: int = 0
        self._names: dict[Statement, bytes] = {}
        self._prepared = 0
        self._waiting: list[_Waiting] = []
        self._sent: list[Answer | Statement | None] = []
        self._poll = select.poll()
        self._pg.nonblocking = 1
        self._pg.enter_pipeline_mode()

    @property
    def is_broken(self) -> bool:
        """Whether there is no connection any more."""
        return self._pg.status != ConnStatus.OK

    @property
    def pgconn(self) -> "psycopg.pq.abc.PGconn":
        """The connection itself."""
        return self._pg

    def ask(self, statement: Statement, *parameters: Parameter) -> Answer:
        """Have a statement go with the next trip."""
        answer = Answer(self, statement)
        self._waiting.append((answer, parameters))
        return answer

    def forget(self) -> None:
        """Do not send what waits."""
        self._waiting.clear()

    def flush(self, after: Iterable[Call] = ()) -> None:
        """Send what waits, and wait for the answers.

        :param after: what the server does next, if nothing has failed; its answers are left to the
            next trip, which passes over its errors
        :raises ServerError: a statement failed; those after it were not carried out
        :raises LostConnectionError: the server did not answer in time, or is gone
        """
        before = len(self._sent)
        sent = self._send_all(after)
        self.trips += 1
        self._receive(before, sent)

    def send(self) -> None:
        """Send what waits, and leave its answers to the next trip, which passes over its errors.

        :raises LostConnectionError: the server is gone, or takes nothing
        """
        self._send_all(())

    def _send_all(self, after: Iterable[Call]) -> int:
        """Send what waits, and something after it; give how many answers come before that."""
        waiting, self._waiting = self._waiting, []
        deadline = time.monotonic() + self.patience
        try:
            for answer, parameters in waiting:
                self._send(answer, parameters)
            sent: int | None = None
            for statement, parameters in after:
                if sent is None:
                    self._pg.send_flush_request()  # or what comes before would be answered with it
                    sent = len(self._sent)
                self._send(Answer(self, statement), parameters)
            self._pg.pipeline_sync()
            self._sent.append(None)
            while self._pg.flush():
                self._await(select.POLLIN | select.POLLOUT, deadline)
        except psycopg.Error as error:
            raise self._lost(str(error)) from error
        return len(self._sent) if sent is None else sent

    def _send(self, answer: Answer, parameters: Sequence[Parameter]) -> None:
        statement, pg = answer.statement, self._pg
        values, formats = encoded(parameters)
        if self.prepares:
            name = self._names.get(statement)
            if name is None:
                self._prepared += 1
                name = self._names[statement] = b"a%d" % self._prepared
                pg.send_prepare(name, self._sql(statement))
                self._sent.append(statement)
            pg.send_query_prepared(name, values, formats, statement.binary)
        else:
            pg.send_query_params(self._sql(statement), values, None, formats, statement.binary)
        self._sent.append(answer)

    def _sql(self, statement: Statement) -> bytes:
        return statement.sql.replace("@.", f"{self._schema}.").encode()

    def _receive(self, before: int, count: int) -> None:
        """Receive so many answers; what was sent before this trip may fail.

        :param before: how many of them are to that
        """
        deadline = time.monotonic() + self.patience
        sent, self._sent = self._sent[:count], self._sent[count:]
        failed: ServerError | None = None
        try:
            for number, each in enumerate(sent):
                error = self._take(each, deadline)
                if number >= before:
                    failed = failed or error
        except psycopg.Error as error:
            raise self._lost(str(error)) from error
        if failed is not None:
            raise failed

    def _take(self, sent: Answer | Statement | None, deadline: float) -> ServerError | None:
        """Take the answer to one thing that was sent: a statement, a preparation or the end."""
        result = self._result(deadline)
        if result is None or (sent is None) != (result.status == ExecStatus.PIPELINE_SYNC):
            raise self._lost(self._pg.get_error_message() or "the server ended the session")
        if sent is None:
            return None
        self._result(deadline)  # that there is no more of it
        if result.status in _ANSWERED:
            if isinstance(sent, Answer):
                width = range(result.nfields)
                value = result.get_value
                sent.arrived([tuple([value(i, j) for j in width]) for i in range(result.ntuples)])
            return None
        if isinstance(sent, Statement):
            del self._names[sent]  # it was not prepared
        if result.status == ExecStatus.PIPELINE_ABORTED:
            return None  # what came before it says why
        severity, state, message = (_field(result, each) for each in _FIELDS)
        if severity != _ERROR:
            why = f"{message} ({state})"
            raise self._lost(why)
        return ServerError(state, message, sent if isinstance(sent, Answer) else None)

    def _result(self, deadline: float) -> "psycopg.pq.abc.PGresult | None":
        while self._pg.is_busy():
            self._await(select.POLLIN, deadline)
        return self._pg.get_result()

    def _await(self, events: int, deadline: float) -> None:
        """Wait until the server answers, or takes more."""
        self._poll.register(self._pg.socket, events)
        seconds = deadline - time.monotonic()
        if seconds <= 0 or not self._poll.poll(seconds * 1000):
            why = f"the server did not answer for {self.patience} s"
            raise self._lost(why)
        self._pg.consume_input()

    def _lost(self, why: str) -> LostConnectionError:
        self.close()
        return LostConnectionError(why)

    def close(self) -> None:
        """Let go of the connection, whatever state it is in."""
        self._waiting.clear()
        self._sent.clear()
        self._connection.close()


def _field(result: "psycopg.pq.abc.PGresult", field: DiagnosticField) -> str:
    return (result.error_field(field) or b"").decode(errors="replace")
