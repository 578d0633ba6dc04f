"""Another process on the same store: both take part, and one that is killed harms nobody."""

from contextlib import aclosing
from typing import Final

from agentpool.testing.conformance.kit import append_many, payloads, record, take
from agentpool.testing.conformance.pool_asking import a_question
from agentpool.testing.conformance.pool_kit import (
    a_reply,
    deliver,
    peeked,
    recorded_message,
    wake_log,
)
from agentpool.testing.conformance.shared_kit import SharedKit, begun, waiting_for_more
from agentpool.testing.values import a_member, a_message
from agentpool.wire.codec import encode
from agentpool.wire.records import AgentPoolStoreCursor, RunMessageRecorded

__all__ = ("SharedProcessTests",)

FIRST: Final = 5
"""The number after those of a pool that was opened and created, and of its two members."""


class SharedProcessTests(SharedKit):
    """Another process."""

    async def test_a_process_finds_what_is_there(self) -> None:
        place = self.new_place()
        async with self.pool(place) as pool:
            await deliver(pool, 3)
            await waiting_for_more(pool, "wake.1")
            async with self.process(place) as other:
                assert await other.ask("snapshot") == encode(await pool.snapshot()).decode()

    async def test_two_processes_number_their_records_together(self) -> None:
        place = self.new_place()
        async with self.pool(place) as pool, self.process(place) as other:
            for number in range(20):
                other.tell("append", f"other.{number}", f"key.other.{number}")
            own = await append_many(pool.store, 20)
            numbers = [each.sequence for each in own] + [await other.answer() for _ in range(20)]
            assert sorted(numbers) == list(range(FIRST, FIRST + 40))
            assert len(await payloads(pool.store)) == FIRST + 39

    async def test_of_two_processes_that_record_one_message_exactly_one_does(self) -> None:
        place = self.new_place()
        async with self.pool(place) as pool, self.process(place) as other:
            for number in range(10):
                other.tell("append", f"other.{number}", f"key.{number}")
                message = a_message(f"own.{number}", idempotency_key=f"key.{number}")
                own = await record(pool.store, message)
                assert await other.answer() == own.sequence == FIRST + number
            assert await other.ask("snapshot") == encode(await pool.snapshot()).decode()

    async def test_watchers_see_what_other_processes_commit(self) -> None:
        place = self.new_place()
        async with (
            self.pool(place) as pool,
            self.process(place) as other,
            aclosing(pool.watch_pool(AgentPoolStoreCursor(FIRST - 1))) as watch,
        ):
            for number in range(FIRST, FIRST + 10, 2):
                other.tell("append", f"message.{number}", f"key.message.{number}")
                assert (await anext(watch)).cursor.sequence == await other.answer() == number
                other.tell("watch", number, 1)
                await record(pool.store, a_message(f"own.{number}"))
                assert await other.answer() == [number + 1]
                await take(watch, 1)

    async def test_waits_are_ended_by_what_other_processes_do(self) -> None:
        place = self.new_place()
        async with self.pool(place) as pool, self.process(place) as other:
            for number in range(3):
                await waiting_for_more(pool, f"own.{number}")
                outcome = await begun(pool.store, pool.wait(f"own.{number}"))
                assert await other.ask("send", f"to.own.{number}") == "delivered"
                assert (await outcome).registration.status == "triggered"
                await other.ask("suspend", f"other.{number}", None)
                other.tell("wait", f"other.{number}")
                await pool.send(a_message(f"to.other.{number}"))
                assert await other.answer() == "triggered"

    async def test_a_claim_that_ran_out_is_fenced_off_by_that_of_another_process(self) -> None:
        place = self.new_place()
        async with self.pool(place) as pool, self.process(place) as other:
            await deliver(pool, 1)
            assert await other.ask("claim", 1) == 1
            delivery = await pool.inbox("run.b").take()
            assert delivery.attempt == 2
            assert await other.ask("ack") == "ClaimLostError"
            await delivery.ack()
            assert await peeked(pool.inbox("run.b")) == []

    async def test_a_claim_is_ended_by_its_token_in_another_process(self) -> None:
        place = self.new_place()
        async with self.pool(place) as pool, self.process(place) as other:
            await deliver(pool, 1)
            delivery = await pool.inbox("run.b").take()
            assert await other.ask("ack_token", delivery.token) is None
            assert await peeked(pool.inbox("run.b")) == []
            assert await other.ask("ack_token", delivery.token) == "ClaimLostError"
            assert await other.ask("ack_token", "no token") == "InvalidValueError"

    async def test_what_a_killed_process_held_comes_back(self) -> None:
        place = self.new_place()
        async with self.pool(place) as pool:
            await deliver(pool, 1)
            async with self.process(place) as other:
                assert await other.ask("take", 0.5) == 1
                await other.ask("suspend", "wake.1", 100)
                await other.kill()
            delivery = await pool.inbox("run.b").take()
            assert delivery.attempt > 1
            await delivery.ack()
            assert (await pool.wait("wake.1")).registration.status == "timed_out"
            assert await wake_log(pool) == ["registered", "timed_out"]

    async def test_the_answers_to_a_killed_process_are_there_when_it_asks_again(self) -> None:
        place = self.new_place()
        async with self.pool(place) as pool:
            await pool.join_run(a_member("run.c"))
            question = a_question(2, None)
            async with self.process(place) as other:
                other.tell("ask")
                await recorded_message(pool, "question")
                await pool.send(a_reply(question, "run.c"))
                await other.kill()
            await pool.send(a_reply(question, "run.b"))
            await pool.send(a_reply(question, "run.b", 2))
            async with self.process(place) as other:
                for _ in range(2):
                    assert await other.ask("ask") == ["run.c", "run.b", "complete"]
            assert await peeked(pool.inbox("run.a")) == []

    async def test_what_a_killed_process_was_told_is_there_once(self) -> None:
        place = self.new_place()
        async with self.pool(place) as pool:
            async with self.process(place) as other:
                other.tell("flood")
                answers = [await other.answer() for _ in range(100)] + await other.kill()
            assert all(isinstance(each, list) for each in answers), "the process was refused"
            done = [(what, name) for what, name in answers]
            await pool.send(a_message("after"))
            await self._check(place, done)

    async def _check(self, place: str, done: list[tuple[str, str]]) -> None:
        """Look at a store that a process died on, as one that opens it now does."""
        async with self.pool(place) as pool:
            log = await payloads(pool.store)
            messages: dict[str, list[str]] = {}
            for each in log:
                if isinstance(each, RunMessageRecorded):
                    statuses = messages.setdefault(each.stored.message.message_id, [])
                    statuses.append(each.stored.receipt.status)
            for name, statuses in messages.items():
                sent = not name.startswith("append")
                assert statuses == ["accepted", "delivered"][: 1 + sent], name
            assert {name for what, name in done if what != "ack"} <= messages.keys()
            acknowledged = [name for what, name in done if what == "ack"]
            assert len(acknowledged) == len(set(acknowledged))
            unread = {each.message_id for each in await pool.inbox("run.b").peek(len(log))}
            assert unread.isdisjoint(acknowledged)
            assert "after" in unread
            for name in messages:
                if name.startswith("append"):
                    await record(pool.store, a_message(name))
                else:
                    await pool.send(a_message(name))
            assert await payloads(pool.store) == log
