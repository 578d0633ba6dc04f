"""The tracer of the library: a span for each operation, and the trace carried by its messages."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from time import perf_counter, time_ns
from typing import Final, TypeVar, cast

from opentelemetry.context import Context, get_current
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
    use_span,
)

from agentpool.errors import AgentPoolError
from agentpool.otel.context import carrying, extracted, sent_in
from agentpool.otel.metrics import Metrics
from agentpool.otel.operations import Operation, operation_of, process, receive
from agentpool.rules.claims import Claim
from agentpool.rules.command import Command
from agentpool.rules.host_events import Publish
from agentpool.rules.sending import Send
from agentpool.rules.sending_many import SendMany
from agentpool.wire.records import MessageReceipt, MessageStatus, RunMessage
from agentpool.wire.refs import EventCorrelation

__all__ = ("TracedOperations",)

R = TypeVar("R")

_at_hand: ContextVar[RunMessage | None] = ContextVar("agentpool_at_hand", default=None)
"""What is being worked on, or answered: where its trace is copied, that is not what is sent in."""

_NO_RECIPIENT: Final = "NoRecipientError"


class TracedOperations:
    """Traces and counts; see `agentpool.runtime.tracing.Tracing`."""

    def __init__(self, tracer: Tracer, metrics: Metrics) -> None:
        self._tracer, self._metrics = tracer, metrics

    # --- sending and settling

    def executing(
        self,
        pool_id: str,
        command: Command[R],
        execute: Callable[[Command[R]], Awaitable[R]],
    ) -> Awaitable[R]:
        operation = operation_of(pool_id, command)
        if operation is None:
            return execute(command)
        return self._executed(operation, command, execute)

    async def _executed(
        self,
        operation: Operation,
        command: Command[R],
        execute: Callable[[Command[R]], Awaitable[R]],
    ) -> R:
        settles = operation.type == "settle"
        with self._during(operation, _sender(), operation.links if settles else ()) as during:
            result = await execute(command if settles else _carrying(command, during.span))
            if _reached_nobody(result):
                during.failed(_NO_RECIPIENT)
            return result

    def answering(self, message: RunMessage) -> AbstractContextManager[None]:
        return _having_at_hand(message)

    # --- receiving and processing

    async def receiving(
        self, pool_id: str, taking: Awaitable[R], messages: Callable[[R], Iterable[RunMessage]]
    ) -> R:
        at, began = time_ns(), perf_counter()
        try:
            result = await taking
        except AgentPoolError as error:
            self._received(receive(pool_id, ()), at, began, error)
            raise
        received = tuple(messages(result))
        if received:  # else it was waited in vain: there is nothing to tell
            self._received(receive(pool_id, received), at, began, None)
        return result

    def _received(
        self, operation: Operation, at: int, began: float, error: AgentPoolError | None
    ) -> None:
        # Only now: before, nobody knew of what, nor whether anything comes at all.
        span = self._tracer.start_span(
            operation.span_name,
            kind=operation.kind,
            attributes=operation.attributes,
            links=operation.links,
            start_time=at,
        )
        during = _During(span)
        if error is not None:
            during.ended_by(error)
        span.end()
        self._metrics.record(operation, perf_counter() - began, during.error_type)

    @contextmanager
    def processing(self, pool_id: str, claim: Claim) -> Iterator[None]:
        sent, around = sent_in(claim.message.correlation), get_current_span().get_span_context()
        operation = process(pool_id, claim.message)
        context, links = _consumer(claim.attempt, sent, around)
        with self._during(operation, context, links) as during:
            during.span.set_attribute("agentpool.attempt", claim.attempt)
            with (
                use_span(during.span, record_exception=False, set_status_on_exception=False),
                _having_at_hand(claim.message),
            ):
                yield

    # --- all of them

    @contextmanager
    def _during(
        self, operation: Operation, context: Context | None, links: Sequence[Link]
    ) -> "Iterator[_During]":
        began = perf_counter()
        span = self._tracer.start_span(
            operation.span_name, context, operation.kind, operation.attributes, links
        )
        during = _During(span)
        try:
            yield during
        except BaseException as error:
            during.ended_by(error)
            raise
        finally:
            span.end()
            self._metrics.record(operation, perf_counter() - began, during.error_type)


class _During:
    """An operation that goes on.

    :ivar span: its span
    :ivar error_type: what it has failed by
    """

    def __init__(self, span: Span) -> None:
        self.span: Final = span
        self.error_type: str | None = None

    def ended_by(self, error: BaseException) -> None:
        """Note what was raised. Its words stay out: they may name what is nobody's business."""
        self.failed(type(error).__qualname__)

    def failed(self, error_type: str) -> None:
        """Note that it has failed."""
        self.error_type = error_type
        self.span.set_attribute("error.type", error_type)
        self.span.set_status(Status(StatusCode.ERROR))


# --- contexts


@contextmanager
def _having_at_hand(message: RunMessage) -> Iterator[None]:
    token = _at_hand.set(message)
    try:
        yield
    finally:
        with suppress(ValueError):  # a block that ends in another context than it began in
            _at_hand.reset(token)


def _sender() -> Context | None:
    """Give the context that something is sent in; outside of all spans, that of what it answers."""
    at_hand = _at_hand.get()
    if at_hand is None or get_current_span().get_span_context().is_valid:
        return None
    return extracted(at_hand.correlation, get_current())


def _consumer(
    attempt: int, sent: SpanContext, around: SpanContext
) -> tuple[Context | None, list[Link]]:
    """Give the context that a message is worked on in, and what that is linked to.

    The first attempt goes on with the trace of the sender. Another one begins a trace, linked to
    the sender's span: the first may have ended long ago, and be closed to who keeps the traces.

    :param sent: the span that it was sent in
    :param around: the span that its consumer is in
    """
    if not sent.is_valid:
        return None, []
    links = [Link(around)] if around.is_valid else []
    if attempt == 1:
        return set_span_in_context(NonRecordingSpan(sent)), links
    return set_span_in_context(INVALID_SPAN), [Link(sent), *links]


# --- commands


def _carrying(command: Command[R], span: Span) -> Command[R]:
    """Give the command with the trace in what it sends."""
    message = _at_hand.get()
    at_hand = None if message is None else message.correlation

    def traced(correlation: EventCorrelation) -> EventCorrelation:
        return carrying(correlation, span, at_hand)

    found: object = command
    match command:
        case Send():
            found = _sent_with(command, traced)
        case SendMany():
            found = SendMany([_sent_with(each, traced) for each in command.sends])
        case Publish():
            found = command.carrying(traced(command.envelope.correlation))
        case _:
            pass
    return cast("Command[R]", found)


def _sent_with(send: Send, traced: Callable[[EventCorrelation], EventCorrelation]) -> Send:
    correlation = traced(send.message.correlation)
    return send if correlation is send.message.correlation else send.carrying(correlation)


def _reached_nobody(result: object) -> bool:
    """Say whether that is the receipt of a message that nobody received."""
    return isinstance(result, MessageReceipt) and result.status is MessageStatus.FAILED
