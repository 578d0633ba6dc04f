"""A handle that listens hears again after its session was ended."""

import asyncio

import pytest
from samples import message

from agentpool import (
    AgentPoolStoredMessage,
    MessageReceipt,
    MessageStatus,
    RunMessageRecorded,
    open_store,
)
from agentpool.stores.postgres import bell

from .server import Server
from .working import until

PATIENCE = 60.0


async def test_who_was_cut_off_is_told_again(
    postgres: Server, postgres_url: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "NET_SECONDS", 10 * PATIENCE)  # nobody looks by time
    channel = bell.channel_of(f'"{schema}"')
    sent = [message(f"msg.{number}") for number in range(2)]
    async with (
        asyncio.timeout(PATIENCE),
        open_store(postgres_url, schema=schema) as store,
        open_store(postgres_url, schema=schema) as other,
    ):
        await store.open_pool("pool")
        records = store.watch("pool")
        await anext(records)
        for each in sent:
            following = asyncio.ensure_future(anext(records))
            await until(lambda: bool(sessions(postgres, channel)), "somebody listens")
            receipt = MessageReceipt(each.message_id, MessageStatus.ACCEPTED)
            await other.record_message("pool", each, receipt)
            assert (await following).payload == RunMessageRecorded(
                AgentPoolStoredMessage(each, receipt)
            )
            cut_off(postgres, channel)
        await records.aclose()


def sessions(postgres: Server, channel: str) -> list[int]:
    found = postgres.sql(
        "SELECT pid FROM pg_stat_activity WHERE query LIKE %s AND state = 'idle'",
        f'LISTEN "{channel}"%',
    )
    return [pid for (pid,) in found]


def cut_off(postgres: Server, channel: str) -> None:
    for pid in sessions(postgres, channel):
        postgres.sql("SELECT pg_terminate_backend(%s, 10000)", pid)
