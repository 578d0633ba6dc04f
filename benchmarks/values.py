"""What checking values costs, beside msgspec, which makes, writes and reads them without."""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import repeat
from typing import Any, Final, NamedTuple

import msgspec

from agentpool import (
    AgentPoolStoredMessage,
    AgentPoolStoreRecordPayload,
    DestinationKind,
    EntityKind,
    MessageReceipt,
    MessageStatus,
    RunAddress,
    RunMessage,
    RunMessageRecorded,
    decode,
    encode,
)
from agentpool.wire.payload import open_records
from benchmarks.bench import Bench
from benchmarks.figures import Figure, Round, Target, at_most
from benchmarks.workloads import POOL

__all__ = ("run",)

_RECORDS: Final = 100
_RECIPIENTS: Final = tuple(f"run.{number}" for number in range(8))

# What stands in the fields does not matter to msgspec where it makes a struct, so not their types.
_FIELDS: Final[dict[str, list[str | tuple[str, Any, Any]]]] = {
    "Target": ["id"],
    "Destination": ["kind", "id", *((name, Any, None) for name in "abcd")],
    "Entity": ["kind", "id", *((name, Any, None) for name in "abc")],
    "Address": ["target", "destination_ref", "related_refs"],
    "Message": [
        *("message_id", "sender", "to", "content_ref", "idempotency_key"),
        *((name, Any, None) for name in "abcde"),
    ],
    "Receipt": ["message_id", "status", *((name, Any, None) for name in ("delivered_to", "a"))],
}
_Target, _Destination, _Entity, _Address, _Message, _Receipt = (
    msgspec.defstruct(name, fields, frozen=True, gc=False) for name, fields in _FIELDS.items()
)


class _Work(NamedTuple):
    """Something done to each of some inputs, and the same by msgspec alone."""

    name: str
    do: Callable[[Any], Any]
    plainly: Callable[[Any], Any]
    inputs: list[Any]
    target: Target | None = None
    per_input: int = 1


def run(bench: Bench) -> Iterator[Figure]:
    """Measure each, and msgspec alone right beside it."""
    times = bench.size(10, 1)
    for work in _works():
        rounds = [
            Round(
                _microseconds(work.do, work.inputs, times) / work.per_input,
                _microseconds(work.plainly, work.inputs, times) / work.per_input,
            )
            for _ in bench.rounds(full=75)
        ]
        unit = "us/message" if "message" in work.name else "us/record"
        yield Figure.of(work.name, unit, rounds, against="msgspec alone", target=work.target)


def _works() -> Iterable[_Work]:
    names = [f"{number:08}" for number in range(_RECORDS)]
    records = [RunMessageRecorded(AgentPoolStoredMessage(*_make(name))) for name in names]
    texts = [encode(record) for record in records]
    wide = [text.replace(b"content.", "дело.".encode()) for text in texts]
    rows = [(seq, "run_message", text) for seq, text in enumerate(texts, 1)]
    plain = msgspec.json.Decoder(AgentPoolStoreRecordPayload)
    payload: Any = AgentPoolStoreRecordPayload
    read: Callable[[Any], Any] = partial(decode, type=payload)
    return (
        _Work(
            "make a message, its address and receipt",
            _make,
            _make_plainly,
            names,
            at_most(5.0),
        ),
        _Work("encode a record", encode, msgspec.json.Encoder().encode, records),
        _Work(
            "decode a record strictly",
            read,
            plain.decode,
            texts,
            at_most(2.0),
        ),
        _Work(
            "decode a record that is not of ASCII",
            read,
            plain.decode,
            wide,
        ),
        _Work(
            f"read {_RECORDS} records of a log",
            lambda _: list(open_records(POOL, rows)),
            lambda _: plain.decode_lines(b"\n".join(texts)),
            [None],
            per_input=_RECORDS,
        ),
    )


def _make(name: str) -> tuple[RunMessage, MessageReceipt]:
    message_id, receiver = f"message.{name}", _RECIPIENTS[int(name) % len(_RECIPIENTS)]
    message = RunMessage(
        message_id=message_id,
        sender="run.sender",
        to=RunAddress.run(receiver),
        content_ref=f"content.{name}",
        idempotency_key=message_id,
    )
    return message, MessageReceipt(message_id, MessageStatus.DELIVERED, (receiver,))


def _make_plainly(name: str) -> Any:
    message_id, receiver = f"message.{name}", _RECIPIENTS[int(name) % len(_RECIPIENTS)]
    to = _Address(
        _Target(receiver),
        _Destination(DestinationKind.AGENT, receiver),
        (_Entity(EntityKind.RUN, receiver),),
    )
    message = _Message(
        message_id=message_id,
        sender="run.sender",
        to=to,
        content_ref=f"content.{name}",
        idempotency_key=message_id,
    )
    return message, _Receipt(message_id, MessageStatus.DELIVERED, (receiver,))


def _microseconds(do: Callable[[Any], Any], inputs: list[Any], times: int) -> float:
    """Do something to each input so many times, and give how long each took."""
    start = time.thread_time()  # others that use the machine are not what is measured
    for _ in repeat(None, times):
        for each in inputs:
            do(each)
    return (time.thread_time() - start) / times / len(inputs) * 1e6
