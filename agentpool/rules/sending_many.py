"""Sending several messages in one transaction: all of them are recorded, or none."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

from agentpool.rules.command import Command, Decision, LookUps, PoolView, RowKey
from agentpool.rules.delayed_messages import defer
from agentpool.rules.messages import require_same_matter
from agentpool.rules.sending import Send
from agentpool.wire.records import MessageReceipt

__all__ = ("SendMany",)


class SendMany(Command[tuple[MessageReceipt, ...]]):
    """Send messages, which wait for no answers, in their order; gives a receipt for each.

    :ivar sends: each as it would be alone
    """

    def __init__(self, sends: Sequence[Send]) -> None:
        self.sends: Final = tuple(sends)
        self.looks_up: LookUps = LookUps.together([send.looks_up for send in self.sends])

    def touches(self, view: PoolView) -> Iterable[RowKey]:
        return chain(*(send.touches(view) for send in self.sends))

    def decide(self, view: PoolView) -> Decision[tuple[MessageReceipt, ...]]:
        decisions: list[Decision[MessageReceipt]] = []
        deferred: list[tuple[int, int]] = []
        first: dict[str, tuple[Send, MessageReceipt]] = {}
        head = view.head
        for send in self.sends:
            key = send.message.idempotency_key
            if key in first:
                earlier, receipt = first[key]
                require_same_matter(view, earlier.message, send.message)
                decisions.append(Decision(receipt, bodies=send.bodies))
                continue
            decision = send.decide_alone(view)
            head += len(decision.records)
            deferred += send.deferred(view, decision, head)
            decisions.append(decision)
            first[key] = send, decision.result
        return _together(view, decisions, deferred)


def _together(
    view: PoolView,
    decisions: Sequence[Decision[MessageReceipt]],
    deferred: Sequence[tuple[int, int]],
) -> Decision[tuple[MessageReceipt, ...]]:
    puts = tuple(chain(*(each.puts for each in decisions)))
    return Decision(
        tuple(each.result for each in decisions),
        tuple(chain(*(each.records for each in decisions))),
        puts=(*puts, defer(view, deferred)) if deferred else puts,
        bodies=tuple(chain(*(each.bodies for each in decisions))),
    )
