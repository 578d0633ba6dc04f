"""What an operation of the library is to a tracer: its name, its kind, its attributes."""

from typing import Any, Final, NamedTuple, TypeAlias

from opentelemetry.trace import Link, SpanKind

from agentpool.otel.context import sent_in
from agentpool.rules.claims import Acknowledge, Claim, ClaimId
from agentpool.rules.command import Command
from agentpool.rules.host_events import Publish
from agentpool.rules.redelivery import ReturnMessage, Unclaim
from agentpool.rules.sending import Send
from agentpool.rules.sending_many import SendMany
from agentpool.wire.records import RunMessage, TopicTarget

__all__ = (
    "DESTINATION",
    "SYSTEM",
    "SYSTEM_NAME",
    "Operation",
    "operation_of",
    "process",
    "receive",
)

SYSTEM: Final = "agentpool"
SYSTEM_NAME: Final = "messaging.system"
DESTINATION: Final = "messaging.destination.name"

_Attributes: TypeAlias = dict[str, str | int]


class Operation(NamedTuple):
    """One operation.

    :ivar name: what it is called here
    :ivar type: what it is to the conventions
    :ivar size: how many messages it is about
    :ivar messages: those of them that are known
    """

    name: str
    type: str
    kind: SpanKind
    pool_id: str
    size: int
    messages: tuple[RunMessage, ...]

    @property
    def destination(self) -> str:
        """The topic or the pool that it is about; never a run, of which there are too many."""
        topics = {_topic_of(each) for each in self.messages}
        [topic] = topics if len(topics) == 1 else [None]
        return topic or self.pool_id

    @property
    def span_name(self) -> str:
        """How the conventions name its span."""
        return f"{self.name} {self.destination}"

    @property
    def dimensions(self) -> _Attributes:
        """What is said of it in metrics, and in spans too."""
        return {
            SYSTEM_NAME: SYSTEM,
            "messaging.operation.name": self.name,
            "messaging.operation.type": self.type,
            DESTINATION: self.destination,
        }

    @property
    def attributes(self) -> _Attributes:
        """What is said of it in its span."""
        attributes = self.dimensions
        if len(self.messages) == self.size == 1:
            [message] = self.messages
            attributes["messaging.message.id"] = message.message_id
            attributes |= _conversation(message)
        elif self.size > 1:
            attributes["messaging.batch.message_count"] = self.size
        return attributes

    @property
    def links(self) -> list[Link]:
        """The spans that its messages were sent in, as far as they say."""
        sent = [sent_in(each.correlation) for each in self.messages]
        once = {(each.trace_id, each.span_id): each for each in sent if each.is_valid}
        return [Link(each) for each in once.values()]


def _topic_of(message: RunMessage) -> str | None:
    target = message.to.target
    return target.topic_id if isinstance(target, TopicTarget) else None


def _conversation(message: RunMessage) -> _Attributes:
    """Name the question that a message asks, or answers."""
    asks = message.response_contract is not None
    question = message.reply_to or (message.message_id if asks else None)
    return {} if question is None else {"messaging.message.conversation_id": question}


def operation_of(pool_id: str, command: Command[Any]) -> Operation | None:
    """Say what a command is; ``None``: nothing that is traced."""
    operation: Operation | None = None
    match command:
        case Send():
            operation = _send(pool_id, command.message)
        case SendMany():
            operation = _send(pool_id, *(each.message for each in command.sends))
        case Publish():
            operation = Operation("publish", "send", SpanKind.PRODUCER, pool_id, 1, ())
        case Acknowledge():
            operation = _settle("ack", pool_id, *command.claims)
        case ReturnMessage():
            operation = _settle("nack", pool_id, command.claim)
        case Unclaim() if command.claims:
            operation = _settle("give_back", pool_id, *command.claims)
        case _:
            pass
    return operation


def _send(pool_id: str, *messages: RunMessage) -> Operation:
    return Operation("send", "send", SpanKind.PRODUCER, pool_id, len(messages), messages)


def _settle(name: str, pool_id: str, *claims: Claim | ClaimId) -> Operation:
    messages = tuple(each.message for each in claims if isinstance(each, Claim))
    return Operation(name, "settle", SpanKind.CLIENT, pool_id, len(claims), messages)


def receive(pool_id: str, messages: tuple[RunMessage, ...]) -> Operation:
    """Say what it is that messages are taken, or answers received."""
    return Operation("receive", "receive", SpanKind.CLIENT, pool_id, len(messages), messages)


def process(pool_id: str, message: RunMessage) -> Operation:
    """Say what it is that somebody works on a message."""
    return Operation("process", "process", SpanKind.CONSUMER, pool_id, 1, (message,))
