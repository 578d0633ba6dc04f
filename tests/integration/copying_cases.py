"""What holds of every copy of a pool, from whatever kind of store into whatever kind."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from pathlib import Path
from typing import Any, cast

import pytest
from coordination.helpers import in_a_minute, until

from agentpool import (
    AgentPool,
    AgentPoolMember,
    AgentPoolStore,
    ContentNotFoundError,
    EventFilter,
    IdempotencyConflictError,
    MessageStatus,
    PoolNotOpenError,
    RunAddress,
    StoreBusyError,
    WakeRegistrationStatus,
    open_store,
)
from agentpool.copying import CopiedPool, copy_pools
from agentpool.rules.consequences import CatchUp
from agentpool.stores.batch.raw import PARTS, RawPool
from agentpool.stores.batch.raw import RECORDS as LOG
from agentpool.stores.batch.store import BatchStore
from agentpool.support.clock import Clock, wall_clock
from agentpool.testing import a_config, a_message, a_receipt
from agentpool.wire.content import PIECE

from .helpers import BOUND, POOL, worker

ADA, BOB = RunAddress.run("run.ada"), RunAddress.run("run.bob")
RECORDS = 700
PIECES = 3


def open_place(
    place: str, clock: Clock = wall_clock
) -> AbstractAsyncContextManager[AgentPoolStore]:
    """Open a store by its path, or by its URL and its schema."""
    url, _, schema = place.partition(" ")
    return open_store(url, schema=schema, clock=clock) if schema else open_store(url, clock=clock)


async def raw(store: AgentPoolStore, pool_id: str = POOL) -> list[object]:
    """List everything that is kept of a pool."""
    assert isinstance(store, BatchStore)

    def look(pool: RawPool) -> list[object]:
        found: list[object] = [pool.source.event_sequence(), pool.source.projected()]
        for part in PARTS:
            after = part.start
            while page := pool.page(part, after):
                found += page
                after = page[-1][: part.width]
        return found

    return await store.look_at(pool_id, look)


async def fill(store: AgentPoolStore, count: int = RECORDS, pool_id: str = POOL) -> None:
    """Give a pool many messages, which nobody coordinates."""
    await store.open_pool(pool_id)
    sent = [a_message(f"message.{i}", idempotency_key=f"key.{i}") for i in range(count)]
    await store.record_messages(
        pool_id, [(each, a_receipt(each, MessageStatus.DELIVERED)) for each in sent]
    )


def member(pool: AgentPool, name: str) -> Any:
    return pool.member(AgentPoolMember(f"run.{name}", f"agent.{name}"), stays=True)


def hook(
    monkeypatch: pytest.MonkeyPatch, store: AgentPoolStore, after: Callable[[int], Awaitable[None]]
) -> None:
    """Have something done after each transaction of a copy in its target, which is numbered."""
    rewrite, count = cast("Any", store).rewrite, 0

    async def rewrite_and_tell(pool_id: str, work: Any, *, durable: bool) -> Any:
        nonlocal count
        done = await rewrite(pool_id, work, durable=durable)
        count += 1
        await after(count)
        return done

    monkeypatch.setattr(store, "rewrite", rewrite_and_tell)


class StopError(Exception):
    """Raised in the middle of a copy."""


async def copy_in_part(
    monkeypatch: pytest.MonkeyPatch, source: AgentPoolStore, target: AgentPoolStore, pieces: int
) -> None:
    """Interrupt a copy of a pool after so many pieces, the mark not counted."""

    async def stop(count: int) -> None:
        if count == 1 + pieces:
            raise StopError

    with monkeypatch.context() as patched:
        hook(patched, target, stop)
        with pytest.raises(StopError):
            await copy_pools(source, target, [POOL])


async def refuses_all_of(store: AgentPoolStore, pool_id: str = POOL) -> None:
    """Assert that a pool that is not whole is none."""
    assert pool_id not in await store.pool_ids()
    assert pool_id not in [each.pool_id for each in await store.pools()]
    looks: list[Awaitable[Any]] = [
        store.open_pool(pool_id),
        store.read(pool_id),
        store.snapshot(pool_id),
        store.next_event_sequence(pool_id),
        store.message_receipt(pool_id, "key.1"),
        store.due([pool_id]),
    ]
    for look in looks:
        with pytest.raises(PoolNotOpenError, match="is being copied into this store"):
            await look
    with pytest.raises(PoolNotOpenError, match="is being copied into this store"):
        async with AgentPool.open(store, pool_id):
            pass
    async with aclosing(store.watch(pool_id)) as watcher:
        with pytest.raises(PoolNotOpenError, match="is being copied into this store"):
            await anext(watcher)


class CopyingCases:
    """Tests of copies from one kind of store into another; `places` says which."""

    kills: tuple[int, ...] = (2,)
    """After how many transactions in the target copies are killed, one after another."""
    another: Path

    @pytest.fixture(autouse=True)
    def _another(self, tmp_path: Path) -> None:
        self.another = tmp_path / "another.db"

    @pytest.fixture
    def places(self) -> tuple[str, str]:
        raise NotImplementedError

    async def test_a_copy_has_everything_and_a_second_one_does_nothing(
        self, places: tuple[str, str]
    ) -> None:
        async with open_place(places[0]) as source, open_place(places[1]) as target:
            await fill(source)
            await source.next_event_sequence(POOL)
            await fill(source, 3, "pool.other")
            await fill(source, 3, "pool.third")
            chosen = await copy_pools(source, target, ["pool.third", POOL])
            assert chosen == [
                CopiedPool("pool.third", 4, 0, was_there=False),
                CopiedPool(POOL, RECORDS + 1, 0, was_there=False),
            ]
            assert sorted(await target.pool_ids()) == [POOL, "pool.third"]
            assert await raw(target) == await raw(source)
            assert [each.was_there for each in await copy_pools(source, target)] == [
                *(False, True, True)
            ]
            assert await target.pools() == await source.pools()
            assert await raw(target) == await raw(source)
            assert await target.snapshot(POOL) == await source.snapshot(POOL)
            assert await target.next_event_sequence(POOL) == 2

    async def test_that_no_record_was_worked_in_yet_is_copied_too(
        self, places: tuple[str, str]
    ) -> None:
        async with open_place(places[0]) as source, open_place(places[1]) as target:
            await fill(source, 3)
            await source.execute(POOL, CatchUp(of_others=True, seen=1))
            assert (await raw(source))[:2] == [0, 0]
            for was_there in (False, True):
                [copied] = await copy_pools(source, target)
                assert copied.was_there is was_there
                assert await raw(target) == await raw(source)

    async def test_everybody_goes_on_where_the_pool_was(self, places: tuple[str, str]) -> None:
        wait = EventFilter.named("done")
        async with open_place(places[0]) as source, open_place(places[1]) as target:
            async with AgentPool.open(source, POOL) as pool:
                queue = await pool.queue("work")
                async with member(pool, "ada") as ada, member(pool, "bob") as bob:
                    await ada.send_many(
                        [(BOB, "claimed"), (BOB, "unread"), (queue.address, "work")]
                    )
                    await ada.send(BOB, "delayed", deliver_in=0.001)
                    token = (await bob.inbox.take()).token
                    waiting = [
                        asyncio.create_task(ada.ask_one(BOB, "why?", idempotency_key="key.ask")),
                        asyncio.create_task(ada.wait_until(wait, idempotency_key="key.wait")),
                    ]

                    async def both_wait() -> bool:
                        asked = await source.message_receipt(POOL, "key.ask")
                        return None not in {asked, await source.wake_registration(POOL, "key.wait")}

                    await until(both_wait)
                    await copy_pools(source, target, force=True)
                    for task in waiting:
                        task.cancel()
                    await asyncio.gather(*waiting, return_exceptions=True)
            async with (
                asyncio.timeout(BOUND),
                AgentPool.open(target, POOL) as pool,
                member(pool, "ada") as ada,
                member(pool, "bob") as bob,
            ):
                await bob.inbox.ack(token)
                texts = []
                for _ in range(3):
                    async with await bob.inbox.take() as delivery:
                        texts.append(await delivery.text())
                        if texts[-1] == "why?":
                            await delivery.reply("because")
                assert sorted(texts) == ["delayed", "unread", "why?"]
                answer = await ada.ask_one(BOB, "why?", idempotency_key="key.ask")
                assert await ada.read(answer) == "because"
                async with await ada.queue("work").take() as delivery:
                    assert await delivery.text() == "work"
                await bob.publish("done")
                outcome = await ada.wait_until(wait, idempotency_key="key.wait")
                assert outcome.registration.status is WakeRegistrationStatus.TRIGGERED

    async def test_a_deadline_goes_with_its_pool(self, places: tuple[str, str]) -> None:
        async with open_place(places[0]) as source:
            async with AgentPool.open(source, POOL) as pool, member(pool, "ada") as ada:
                await ada.send(ADA, "soon", expires_in=30, idempotency_key="key.soon")
            async with open_place(places[1]) as target:
                await copy_pools(source, target)

        async def has_expired() -> bool:
            receipt = await target.message_receipt(POOL, "key.soon")
            return receipt is not None and receipt.status is MessageStatus.EXPIRED

        async with open_place(places[1], in_a_minute) as target, AgentPool.open(target, POOL):
            await until(has_expired)

    async def test_bodies_go_with_the_messages_that_name_them(
        self, places: tuple[str, str]
    ) -> None:
        large = bytes(range(256)) * (PIECE // 256 + 1)
        async with open_place(places[0]) as source, open_place(places[1]) as target:
            await fill(source, 3)
            refs = [await source.put_content(each, media_type="text/x") for each in (b"a", large)]
            elsewhere = f"sha256:{'0' * 64}"
            unnamed = await source.put_content(b"of nobody")
            for number, ref in enumerate([*refs, elsewhere]):
                message = a_message(f"m.{number}", content_ref=ref, idempotency_key=f"k.{number}")
                await source.record_message(POOL, message, a_receipt(message))
            await copy_pools(source, target)
            assert [await target.get_content(ref) for ref in refs] == [b"a", large]
            assert [await target.content_type(ref) for ref in refs] == ["text/x"] * 2
            for ref in (elsewhere, unnamed):
                with pytest.raises(ContentNotFoundError):
                    await target.get_content(ref)

    # --- interrupted

    @pytest.mark.slow
    async def test_a_copy_goes_on_where_it_was_killed(
        self, places: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with open_place(places[0]) as source:
            await fill(source)
            kept = await raw(source)
        async with open_place(places[1]) as target:
            await target.open_pool("pool.other")
            for transactions in self.kills:
                async with worker("copy_pools.py", *places) as copying:
                    for _ in range(transactions - 1):
                        assert await copying.line() == "written"
                        copying.tell("go on")
                    assert await copying.line() == "written"
                    copying.kill()
                    await copying.ended()
                await refuses_all_of(target)
                await target.open_pool("pool.other")
            counts: list[int] = []
            async with open_place(places[0]) as source:

                async def note(count: int) -> None:
                    counts.append(count)

                hook(monkeypatch, target, note)
                await copy_pools(source, target)
            # The mark comes first, and what makes the pool whole comes last.
            copied = sum(count - 1 for count in self.kills)
            assert len(counts) == 1 + PIECES - copied + 1
            assert await raw(target) == kept
            assert (await target.read(POOL))[-1].cursor.sequence == RECORDS + 1

    async def test_what_is_left_of_another_copy_is_replaced(
        self, places: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with open_place(places[0]) as source, open_place(places[1]) as target:
            await fill(source)
            await copy_in_part(monkeypatch, source, target, 2)
            await refuses_all_of(target)

            def shorten(pool: RawPool) -> None:
                pool.delete(LOG, [(seq,) for seq in range(300, RECORDS + 2)])
                kind, payload = b"agentpool_of_tomorrow", '{"\u00e9":0}'.encode()
                pool.put(LOG, [(2, kind, payload, 0)])

            await cast("BatchStore", source).rewrite(POOL, shorten, durable=True)
            [copied] = await copy_pools(source, target, [POOL])
            assert copied.records == 299
            assert await raw(target) == await raw(source)

    async def test_of_two_copies_the_later_one_wins(
        self, places: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with open_place(places[0]) as source, open_place(places[1]) as target:
            await fill(source)

            async def copy_too(count: int) -> None:
                if count == 2:
                    monkeypatch.undo()
                    async with open_place(places[1]) as again:
                        await copy_pools(source, again)

            hook(monkeypatch, target, copy_too)
            with pytest.raises(StoreBusyError, match="another copy of it"):
                await copy_pools(source, target)
            assert await raw(target) == await raw(source)
            assert [each.was_there for each in await copy_pools(source, target)] == [True]

    async def test_what_is_sent_meanwhile_is_copied_too(
        self, places: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with open_place(places[0]) as source, open_place(places[1]) as target:
            await fill(source, 300)
            async with AgentPool.open(source, POOL) as pool, member(pool, "ada") as ada:

                async def send_too(count: int) -> None:
                    if count <= 4:
                        await ada.send(ADA, str(count))

                hook(monkeypatch, target, send_too)
                await copy_pools(source, target, force=True)
                assert await raw(target) == await raw(source)

    async def test_what_never_stands_still_is_refused(
        self, places: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with open_place(places[0]) as source, open_place(places[1]) as target:
            await fill(source, 3)
            look_at = cast("BatchStore", source).look_at

            async def look_and_change(pool_id: str, work: Any) -> Any:
                await source.next_event_sequence(POOL)
                return await look_at(pool_id, work)

            monkeypatch.setattr(source, "look_at", look_and_change)
            with pytest.raises(StoreBusyError, match="changed at the source all the time"):
                await copy_pools(source, target)
            await refuses_all_of(target)

    # --- refused

    async def test_a_pool_that_somebody_holds_is_refused_unless_forced(
        self, places: tuple[str, str]
    ) -> None:
        async with open_place(places[0]) as source, open_place(places[1]) as target:
            async with AgentPool.open(source, POOL) as pool:
                async with member(pool, "ada"):
                    with pytest.raises(StoreBusyError, match=r"'run\.ada'.*s left.*force=True"):
                        await copy_pools(source, target)
                    assert await target.pool_ids() == []
                    await copy_pools(source, target, force=True)
                async with pool.member(AgentPoolMember("run.bob", "agent.bob"), lease=None):
                    with pytest.raises(StoreBusyError, match=r"'run\.bob'.*never ends"):
                        await copy_pools(source, target)
            assert await target.pool_ids() == [POOL]

    async def test_a_pool_that_somebody_comes_to_hold_meanwhile_is_refused(
        self, places: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with (
            open_place(places[0]) as source,
            open_place(places[1]) as target,
            AsyncExitStack() as held,
        ):
            await fill(source, 3)
            pool = await held.enter_async_context(AgentPool.open(source, POOL))

            async def come(count: int) -> None:
                if count == 1:
                    await held.enter_async_context(member(pool, "ada"))

            with monkeypatch.context() as patched:
                hook(patched, target, come)
                with pytest.raises(StoreBusyError, match=r"'run\.ada'.*s left.*force=True"):
                    await copy_pools(source, target)
            await refuses_all_of(target)
            await held.aclose()
            await copy_pools(source, target)
            assert await raw(target) == await raw(source)

    async def test_another_pool_of_that_id_is_left_as_it_is(self, places: tuple[str, str]) -> None:
        async with open_place(places[0]) as source, open_place(places[1]) as target:
            for pool_id in (POOL, "pool.numbers", "pool.gone_on"):
                await fill(source, 3, pool_id)
            await target.open_pool(POOL, a_config())
            await target.next_event_sequence("pool.numbers")
            await copy_pools(source, target, ["pool.gone_on"])
            await fill(target, 4, "pool.gone_on")
            for pool_id in (POOL, "pool.numbers", "pool.gone_on"):
                kept = await raw(target, pool_id)
                with pytest.raises(IdempotencyConflictError, match="has another pool of this id"):
                    await copy_pools(source, target, [pool_id], force=True)
                assert await raw(target, pool_id) == kept

    async def test_what_is_not_whole_is_copied_nowhere(
        self, places: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with open_place(places[0]) as source, open_place(places[1]) as target:
            await fill(source, 3)
            await copy_in_part(monkeypatch, source, target, 0)
            async with open_store(str(self.another)) as third:
                with pytest.raises(PoolNotOpenError, match="is not whole"):
                    await copy_pools(target, third, [POOL])
                assert await copy_pools(target, third) == []
                with pytest.raises(PoolNotOpenError, match="nothing opened this pool"):
                    await copy_pools(source, third, ["pool.missing"])
