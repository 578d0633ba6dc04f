"""Events, messages and members as rows."""

from agentpool import (
    ContentNotFoundError,
    CorruptRecordError,
    EntityKind,
    EventEnvelope,
    MessageReceipt,
    RunAddress,
    RunMessage,
)
from agentpool.cli.arguments import decoded
from agentpool.cli.printing import AT_LEAST, Row
from agentpool.cli.times import age, iso
from agentpool.pool import AgentPool
from agentpool.rules.explaining.inboxes import at_least
from agentpool.rules.explaining.overview import MemberSeen, Overview
from agentpool.rules.explaining.presence import Held

__all__ = (
    "address_words",
    "body_row",
    "event_row",
    "event_words",
    "member_row",
    "message_row",
    "overview_row",
    "receipt_row",
)


def address_words(to: RunAddress) -> str:
    """Write an address as the arguments of verbs have it."""
    target = to.target
    [id_] = (getattr(target, name) for name in target.__struct_fields__)
    return f"{target.__struct_config__.tag}:{id_}"


async def body_row(pool: AgentPool, message: RunMessage) -> Row:
    """Read the body of a message; it is ``None`` where the store keeps none, or a damaged one."""
    try:
        return {"body": decoded(await pool.body(message).bytes()), "unreadable": None}
    except ContentNotFoundError:
        return {"body": None, "unreadable": None}
    except CorruptRecordError as error:  # which is to stop none of the others
        return {"body": None, "unreadable": str(error)}


def message_row(message: RunMessage) -> dict[str, object]:
    """Describe a message."""
    contract = message.response_contract
    return {
        "message": message.message_id,
        "from": message.sender,
        "to": address_words(message.to),
        "reply_to": message.reply_to,
        "answers": None if contract is None else contract.expected_responses,
        "expires": iso(message.expires_at_millis),
        "key": message.idempotency_key,
        "content_ref": message.content_ref,
    }


def receipt_row(receipt: MessageReceipt) -> Row:
    """Describe how far a message has come."""
    return {
        "message": receipt.message_id,
        "status": str(receipt.status),
        "delivered_to": list(receipt.delivered_to),
    }


def event_row(seq: int, event: EventEnvelope) -> dict[str, object]:
    """Describe an event.

    :param seq: the record that it is, or came after
    """
    runs = [ref.id for ref in event.related_refs if ref.kind is EntityKind.RUN]
    return {
        "seq": seq,
        "at": event.recorded_at,
        "event": str(event.event_kind),
        "run": event.run_id,
        "agent": event.agent_id,
        "about": f"{event.subject_ref.kind}:{event.subject_ref.id}",
        "runs": runs,
        "tags": list(event.tags),
        "content_ref": event.content_ref,
    }


def event_words(row: Row) -> str:
    """Write an event as a line for people."""
    words = [f"{row['seq']:>6}  {row['at']}  {row['event']:<26}  {row['run']}"]
    if row["about"] != f"run:{row['run']}":
        words.append(str(row["about"]))
    runs = row["runs"]
    if isinstance(runs, list) and runs:
        words.append(f"-> {', '.join(runs)}")
    tags = row["tags"]
    if isinstance(tags, list) and tags != ["feature:agent_pool"]:
        words.append(" ".join(tags))
    if row.get("body") is not None:
        words.append(repr(row["body"]))
    if row.get("unreadable") is not None:
        words.append(str(row["unreadable"]))
    return "  ".join(words)


def member_row(seen: MemberSeen, now: int) -> Row:
    """Describe a member."""
    member, held, inbox = seen.member, seen.held, seen.inbox
    return {
        "run": member.run_id,
        "agent": member.agent_id,
        "presence": "queue" if seen.is_queue else _presence(held, now),
        "since": iso(held.since),
        "process": held.process,
        "unread": inbox.unread,
        "claimed": inbox.claimed,
        "dead": inbox.dead,
        "oldest_seconds": age(seen.oldest_at, now),
        "topics": [] if seen.is_queue else list(member.topics),
        AT_LEAST: at_least([inbox]),
    }


def _presence(held: Held, now: int) -> str:
    return "lost" if held.is_lost(now) else str(held.presence)


def overview_row(seen: Overview) -> dict[str, object]:
    """Describe a pool in numbers."""
    runs = [each for each in seen.members if not each.is_queue]
    counted, oldest = seen.counted, seen.oldest_age
    return {
        "pool": seen.pool_id,
        "records": seen.records,
        "last_change": iso(seen.last_change),
        "members": len(runs),
        "here": sum(each.held.is_here(seen.now) for each in runs),
        "queues": len(seen.members) - len(runs),
        "unread": counted.unread,
        "claimed": counted.claimed,
        "dead": counted.dead,
        "oldest_seconds": None if oldest is None else oldest / 1000,
        "waits": seen.waits,
        "overdue_seconds": seen.overdue / 1000,
        "behind": seen.behind,
        AT_LEAST: seen.at_least,
    }
