"""The metrics of operations: how long they take, and how many messages there are in them."""

from typing import Final

from opentelemetry.metrics import Meter

from agentpool.otel.operations import Operation

__all__ = ("Metrics",)

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""The bounds that the conventions advise for durations."""


class Metrics:
    """The instruments that the conventions of messaging name."""

    def __init__(self, meter: Meter) -> None:
        self._durations = meter.create_histogram(
            "messaging.client.operation.duration",
            unit="s",
            description="Duration of an operation that sends, receives or settles messages",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._processing = meter.create_histogram(
            "messaging.process.duration",
            unit="s",
            description="Duration of the work on a message",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._sent = meter.create_counter(
            "messaging.client.sent.messages",
            unit="{message}",
            description="Messages that were to be sent",
        )
        self._consumed = meter.create_counter(
            "messaging.client.consumed.messages",
            unit="{message}",
            description="Messages that were taken, and answers that were received",
        )

    def record(self, operation: Operation, seconds: float, error_type: str | None) -> None:
        """Count an operation that has ended.

        :param error_type: what ended it; ``None``: it was carried out
        """
        dimensions = operation.dimensions
        if error_type is not None:
            dimensions["error.type"] = error_type
        durations = self._processing if operation.type == "process" else self._durations
        durations.record(seconds, dimensions)
        if operation.type == "send":
            self._sent.add(operation.size, dimensions)
        elif operation.type == "receive" and operation.size:
            self._consumed.add(operation.size, dimensions)
