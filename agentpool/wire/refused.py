"""Errors that carry a value of the wire format; the others stand in `agentpool.errors`."""

from agentpool.errors import AgentPoolError, RetryClassification
from agentpool.wire.records import MessageReceipt

__all__ = ("NoRecipientError",)


class NoRecipientError(AgentPoolError):
    """Raised when a message to a run, or to an agent, has reached nobody.

    That is recorded, and nobody got anything: the same key may be sent again.

    :ivar receipt: what was recorded, with the id of the message
    """

    retry = RetryClassification.RETRYABLE

    receipt: MessageReceipt

    @classmethod
    def of(cls, receipt: MessageReceipt, why: str, pool_id: str) -> "NoRecipientError":
        """Make the error for a message.

        :param why: it reached nobody, and what to do
        """
        error = cls(f"message {receipt.message_id!r} reached nobody: {why}", pool_id=pool_id)
        error.receipt = receipt
        return error
